"""Distil, compress, export and measure models for devices: `edgekd run pipeline.yaml`."""

__version__ = "0.1.0"
