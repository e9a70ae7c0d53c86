"""What a step on a document does for a target, to first order, summed over the checkpoints of a warm-up run."""
