"""Losses on how the examples of a batch lie to each other."""
