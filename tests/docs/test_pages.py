"""Pages that are written by hand say a thing once."""

from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LONG = 80
"""Shorter lines may be alike, as commands and heads of tables are."""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_no_line_stands_twice(page):
    """Where this fails a merge or an edit has written a part of the page again."""
    lines = [line for line in page.read_text("utf-8").splitlines() if len(line) > LONG]
    prose = Counter(line for line in lines if not line.startswith(("|", "Against ")))
    assert [line for line, times in prose.items() if times > 1] == []
