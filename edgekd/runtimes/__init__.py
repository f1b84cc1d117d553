"""Formats that a model can be exported to and run in."""
