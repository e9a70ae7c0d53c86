"""Fixed language models that look at documents: proxies of scorers, probes of alignment metrics."""
