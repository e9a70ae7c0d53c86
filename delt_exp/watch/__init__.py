"""What the runs of an output folder are doing: each tells how far it is, and a table shows all of them."""
