"""SHED (arXiv:2405.00705): clusters of documents, each worth what its proxy document adds to a utility."""
