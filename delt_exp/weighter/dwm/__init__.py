"""Weights that a small model learns during training, by what they do for validation documents (arXiv 2507.16178)."""
