"""Choices of the training examples that an epoch uses."""
