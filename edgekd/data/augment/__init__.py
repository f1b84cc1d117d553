"""Seeded changes to training batches."""
