"""Which objective to learn by: tried on the user's own task, under a budget."""
