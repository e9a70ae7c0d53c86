"""How much each training sequence counts in its batch."""
