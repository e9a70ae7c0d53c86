"""From what a model writes to the shares of the domains that it learnt from."""
