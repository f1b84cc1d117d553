"""Evidence in, numbers with a unit out."""
