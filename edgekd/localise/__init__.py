"""Which layer of a program departs from its PyTorch model, and which module cannot be exported."""
