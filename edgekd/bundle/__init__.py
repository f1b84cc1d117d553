"""A finished run in one file, and doing it again."""
