"""Targets, the ways to them, and measuring on them."""
