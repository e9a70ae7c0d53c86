"""Where numbers are sent while a run goes on; the run folder itself is always complete without any of these."""
