import sys
from types import ModuleType

import pytest

from edgekd.devices import scripts as loading
from edgekd.devices.scripts import scripts


def test_the_scripts_are_one_set_that_other_modules_of_their_names_do_not_meet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = ModuleType("machine")
    monkeypatch.setitem(sys.modules, "machine", other)
    monkeypatch.delitem(sys.modules, "children", raising=False)
    loading._scripts.cache_clear()
    found = scripts()
    assert sys.modules["machine"] is other
    assert "children" not in sys.modules
    assert found.bench.machine is found.limits.machine is found.machine is not other
    assert scripts() is found
