"""Weights, tokenizers and settings of models that were trained elsewhere."""
