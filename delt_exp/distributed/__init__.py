"""Work spread over processes, GPUs and machines."""
