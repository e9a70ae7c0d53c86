"""What a model was trained on, by what it writes: estimates on known mixtures, and what they beat."""
