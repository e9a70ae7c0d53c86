"""Task2Vec embeddings of text and the alignment they give (arXiv 2501.08496)."""
