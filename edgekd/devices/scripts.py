"""The scripts of `targets/runners` as modules, for devices that cannot run them themselves."""

import importlib
import sys
from functools import cache
from threading import Lock
from types import ModuleType
from typing import NamedTuple

from edgekd.core.shipped import shipped

_IMPORTING = Lock()


class Scripts(NamedTuple):
    """What drives a measurement, and what reads a machine."""

    bench: ModuleType
    children: ModuleType
    command_line: ModuleType
    limits: ModuleType
    machine: ModuleType


def scripts() -> Scripts:
    """Return the scripts; they know each other by their bare names, which nobody else sees."""
    with _IMPORTING:
        return _scripts()


@cache
def _scripts() -> Scripts:
    folder = shipped("targets") / "runners"
    names = [path.stem for path in folder.glob("*.py")]
    others = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(folder))
    try:
        return Scripts(*map(importlib.import_module, Scripts._fields))
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(others)
