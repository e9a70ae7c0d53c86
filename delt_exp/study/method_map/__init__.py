"""Which method for which task: gains, costs and what to use, task by task."""
