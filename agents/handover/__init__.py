"""What goes to whoever takes a claim over: the dossier, and how it gets there."""
