"""Which documents stay: functions (ids [N], scores [N]) -> kept row positions, in the row order of the corpus.

Higher scores are better. No selector depends on the order of the rows: ties fall back to the higher id, draws are made
per id. Every selector raises ConfigError for a setting outside its range and for a selection that keeps nothing.
"""
