"""The small language model that looks at documents before the real one is trained."""
