"""The fixed models that alignment metrics look at data with."""
