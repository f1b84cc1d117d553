"""`edgekd bisect`: which layer of a program that was made here departs from its PyTorch model."""
