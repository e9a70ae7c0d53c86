"""Means of the weights that a model had while it learnt, evaluated beside the last ones."""
