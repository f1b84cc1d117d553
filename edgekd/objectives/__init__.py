"""Losses, by the signal that they read."""
