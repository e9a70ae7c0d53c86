"""What a study may claim: comparisons of arms, relations over corpora, diagnostics of scores."""
