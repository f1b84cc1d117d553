"""Stands in for torchvision, which torchdistill imports and this comparison does not use."""
