"""How often a fault is tried: a few times in every test run, often with `--full`.

In full: python -m pytest tests/faults --full
"""

from collections.abc import Callable

import pytest

TABLE = pytest.StashKey[list[tuple[str, ...]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="try every fault as often as we promise")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = []


@pytest.fixture
def full(pytestconfig: pytest.Config) -> bool:
    """Whether the harness runs in full."""
    return bool(pytestconfig.getoption("full", False))


@pytest.fixture
def rounds(full: bool) -> Callable[[int, int], int]:
    """Return a function that takes how many rounds are enough in short and in full."""
    return lambda short, long: long if full else short


@pytest.fixture
def counted(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Return a function that adds a line to the table at the end: what was tried, what came out."""

    def add(what: str, **counts: object) -> None:
        pytestconfig.stash.setdefault(TABLE, []).append(
            (what, *(f"{name.replace('_', ' ')} {count}" for name, count in counts.items()))
        )

    return add


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if lines := config.stash.get(TABLE, []):
        terminalreporter.section("faults")
        for what, *counts in lines:
            terminalreporter.write_line(f"{what:<34} {', '.join(counts)}")
