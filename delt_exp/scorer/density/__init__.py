"""How many candidates lie near a document, by locality-sensitive hashes of embeddings."""
