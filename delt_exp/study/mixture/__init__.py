"""Mixtures compared, and the laws that one of them was proposed by."""
