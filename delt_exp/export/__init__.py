"""The documents of a run, in training order, for other trainers."""
