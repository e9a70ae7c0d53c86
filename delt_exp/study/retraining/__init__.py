"""How far scores agree with retraining on random halves of the documents."""
