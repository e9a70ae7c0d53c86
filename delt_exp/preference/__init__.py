"""What models say of preferences: pairs of a chosen and a rejected answer."""
