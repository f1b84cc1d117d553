"""Draw with matplotlib, hand over inline SVG that takes colour and font from its page.

Every colour drawn here is a stand-in that becomes a CSS custom property, so that one drawing
serves light and dark. One unit of the drawing is one CSS pixel at its natural width.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

WIDE, NARROW = 1060, 350
"""Natural widths in CSS pixels: a desk and a phone."""
TEXT, SMALL = 13.0, 12.0
_NAMES = (
    *("ink", "muted", "grid", "paper", "reference", "limit", "budget"),
    *(f"step-{i}" for i in range(1, 7)),
    *(f"term-{i}" for i in range(1, 6)),
)
COLOURS = {name: f"#{0xFE0100 + index:06x}" for index, name in enumerate(_NAMES)}
INK, MUTED, GRID, PAPER = (COLOURS[name] for name in ("ink", "muted", "grid", "paper"))
LIMIT, BUDGET = COLOURS["limit"], COLOURS["budget"]
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": SMALL,
    "figure.dpi": 72,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.linewidth": 1,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": TEXT,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.titlepad": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 1,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 2,
    "lines.markersize": 7,
}


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """Give a figure of that many CSS pixels, in the report's style."""
    with rc_context(_STYLE), warnings.catch_warnings():
        # The reader's browser has fonts of its own: what matplotlib lacks does not matter.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield Figure(figsize=(width / 72, height / 72))


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """Return the figure as an `<svg>` element whose ids all begin with `name`."""
    stream = StringIO()
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(
            stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font: (?:bold |700 )?([0-9.]+)px [^;\"]*", _font, text)
    text = re.sub(r"font-family: [^;\"]*;?", "", text)
    text = re.sub(r'\bd="[^"]*"', _rounded, text)
    for colour, code in COLOURS.items():
        text = text.replace(code, f"var(--{colour})")
    head = (
        f'<svg role="img" aria-labelledby="{name}-title {name}-description" '
        f'width="{_width(text)}" viewBox="{_view_box(text)}" xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n'
        f'<desc id="{name}-description">{escape(description)}</desc>'
    )
    return re.sub(r"<svg[^>]*>", lambda _: head, text, count=1).strip()


def printable(text: str, longest: int = 28) -> str:
    """Return a name that can stand in a drawing: no control characters, not too long."""
    shown = "".join(c if c.isprintable() else "�" for c in text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _font(match: re.Match[str]) -> str:
    bold = "; font-weight: 600" if match[0].startswith(("font: bold", "font: 700")) else ""
    return f"font-size: {match[1]}px{bold}"


def _rounded(match: re.Match[str]) -> str:
    """Return a path to a hundredth of a pixel."""
    return re.sub(r"(\d\.\d\d)\d+", r"\1", match[0])


def _width(text: str) -> str:
    return _view_box(text).split()[2]


def _view_box(text: str) -> str:
    match = re.search(r'viewBox="([^"]+)"', text)
    assert match, "matplotlib writes a viewBox"
    return match[1]
