"""Arms of a study compared with their baseline."""
