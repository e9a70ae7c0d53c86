"""Short runs of gradient descent that are swept backwards in time: states, samples, the sweep, its restart."""
