"""Names that torchdistill's own models are built from; none of them is built here."""
