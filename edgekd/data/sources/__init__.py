"""Data sources that a task can read."""
