"""Finished stages, kept under a hash of their inputs."""
