"""Compares what a trainer read with an export, or names where the two part."""
