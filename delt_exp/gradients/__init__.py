"""Gradients of language models: per sample for whole batches, per batch, and Hessian-vector products."""
