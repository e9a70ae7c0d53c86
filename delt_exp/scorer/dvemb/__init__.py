"""Data Value Embedding: what a document did at the step that used it, for the end of that run (arXiv 2412.09538)."""
