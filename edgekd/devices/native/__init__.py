"""Runners in C++: built, kept, and brought to a device beside the scripts."""
