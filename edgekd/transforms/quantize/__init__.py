"""Transforms that store numbers in fewer bits."""
