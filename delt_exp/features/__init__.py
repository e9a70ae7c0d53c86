"""Entry of `python -m delt_exp.features`."""
