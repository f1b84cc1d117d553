"""Names alone."""


class BasicBlock:
    """Not used."""


def conv1x1(*_):
    """Not used."""
    raise NotImplementedError
