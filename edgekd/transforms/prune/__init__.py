"""Transforms that remove weights."""
