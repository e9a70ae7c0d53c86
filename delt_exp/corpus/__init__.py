"""Documents on disk, their tokens, and everything that is drawn, ranked or compared about them."""
