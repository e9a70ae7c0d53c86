"""Whether a training run played the order of an export, and where it departed from it."""
