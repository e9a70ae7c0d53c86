"""What a trained model is measured on: loss on texts, and multiple-choice benchmarks."""
