"""Words of texts and their n-grams: hashed, counted, measured, and compared between documents."""
