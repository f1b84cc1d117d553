"""How much of its reference a model is."""
