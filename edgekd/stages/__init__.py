"""The stages that a pipeline is made of."""
