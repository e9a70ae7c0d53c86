"""Where documents come from: every dataset is a stream of `Document` and a fingerprint of its content."""
