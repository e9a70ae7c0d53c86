"""From an order of documents to a trained model, with the proof of what was trained."""
