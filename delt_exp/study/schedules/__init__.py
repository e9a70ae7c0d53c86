"""Whether the gain of an order depends on the schedule of the learning rate."""
