"""Utilities: what it is worth to learn from some documents and not from others."""
