"""Datamodels (arXiv:2202.00622): what groups of documents are worth, from training runs on random halves of them."""
