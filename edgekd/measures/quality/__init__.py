"""How right a model's answers are."""
