"""What a training run consumed and did, compared with what was planned."""
