"""How much preference data is worth: measures over the share of the data, with curves and bootstraps."""
