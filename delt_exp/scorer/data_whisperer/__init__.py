"""Data Whisperer (arXiv 2505.12212): what a pair is worth as a demonstration in front of the questions of others."""
