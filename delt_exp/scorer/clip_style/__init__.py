"""CLIP-style selection of texts: how well a document fits its class, and how far it is from others there."""
