"""Learnability-quality scoring: what a sample's gradient is worth to the remaining training run (arXiv 2506.21545)."""
