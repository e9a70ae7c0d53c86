"""Every document gets one number; the number says what it means and which direction is better."""
