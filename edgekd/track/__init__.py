"""Telling the numbers of a run to TensorBoard and MLflow, as they come."""
