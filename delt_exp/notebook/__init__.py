"""The same experiments as on the command line, as objects: what `delt_exp` gives to notebooks and programs."""
