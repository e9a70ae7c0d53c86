"""Which training data, in which order, makes a better language model?"""
