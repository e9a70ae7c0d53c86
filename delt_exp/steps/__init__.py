"""The steps of one run between its configuration and its record, in the order in which they are taken."""
