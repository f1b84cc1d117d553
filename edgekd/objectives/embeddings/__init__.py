"""Losses on embeddings: what a teacher says of examples that nobody labelled."""
