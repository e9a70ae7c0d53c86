"""Judgements of documents, spread over processes and machines, shard by shard."""
