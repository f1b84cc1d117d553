"""Names alone."""


class _DenseBlock:
    """Not used."""


class _Transition:
    """Not used."""
