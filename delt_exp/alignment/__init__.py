"""How well training data and evaluation data fit together, measured before anything is trained."""
