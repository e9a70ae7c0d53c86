"""Paired verdicts for results that somebody measured, item by item: which is better, and how sure."""
