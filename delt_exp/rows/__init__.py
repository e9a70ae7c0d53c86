"""Rows of a corpus by document id: drawn at random, and ranked by score."""
