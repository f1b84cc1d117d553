"""Models that a pipeline can name, and their folders."""
