"""Documents to vectors, for alignment and for methods that look at neighbours, clusters and coverage."""
