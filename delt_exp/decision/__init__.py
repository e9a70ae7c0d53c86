"""How far small training runs can be trusted: how often their verdict on two arms is that of larger ones."""
