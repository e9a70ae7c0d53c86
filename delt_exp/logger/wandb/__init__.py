"""Runs and studies in Weights & Biases."""
