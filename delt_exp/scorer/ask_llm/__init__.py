"""Ask-LLM (arXiv 2402.09668): a language model is asked whether a document is worth learning from."""
