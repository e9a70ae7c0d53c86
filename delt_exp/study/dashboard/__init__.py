"""A W&B workspace that shows a study: layout, and the command that creates it."""
