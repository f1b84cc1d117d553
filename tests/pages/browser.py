"""One page in a headless browser: what is wrong with it, and pictures of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Locator, Page

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS = (1280, 390)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MOST_MIB, MOST_S = 3, 3
GRAVE = ("serious", "critical")


@dataclass
class Looked:
    """What came of a page."""

    mib: float
    seconds: float
    """Until it was loaded and laid out, the longest of all."""
    sections: list[str]
    controls: int
    """Links and foldings that were used."""
    slight: list[str]
    """What axe calls minor or moderate."""
    troubles: list[str]


def look(browser: Browser, file: Path, sections: tuple[str, ...], axe: str, out: Path) -> Looked:
    """Look at a page in both schemes and widths; `axe` is axe-core's source."""
    mib = file.stat().st_size / 2**20
    looked = Looked(mib, 0, [], 0, [], [])
    if mib >= MOST_MIB:
        looked.troubles.append(f"{mib:.1f} MiB, and {MOST_MIB} at most were aimed at")
    for scheme in SCHEMES:
        for width in WIDTHS:
            page = _opened(browser, file, looked, scheme, width)
            where = f"{scheme} {width}"
            page.screenshot(path=out / f"{file.stem}-{scheme}-{width}.png", full_page=True)
            if (scheme, width) == (SCHEMES[0], WIDTHS[0]):
                page.screenshot(path=out / f"{file.stem}.png")
            looked.troubles += [f"{where}: {what}" for what in _wider(page, width)]
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            looked.troubles += [f"{where}, unfolded: {what}" for what in _wider(page, width)]
            page.evaluate(axe)
            for impact, what in _violations(page):
                found = looked.troubles if impact in GRAVE else looked.slight
                found.append(f"{where}: {impact}: {what}")
            page.context.close()
    _without_scripts(browser, file, looked)
    missing = [name for name in sections if name not in looked.sections]
    looked.troubles += [f"has no section '{name}'" for name in missing]
    if looked.seconds >= MOST_S:
        looked.troubles.append(f"loads in {looked.seconds:.1f} s, and {MOST_S} were aimed at")
    return looked


def _opened(
    browser: Browser, file: Path, looked: Looked, scheme: str, width: int, scripts: bool = True
) -> Page:
    """Return the page in a browser of its own; what it says or asks for is noted."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=scripts,
        offline=True,
    )
    page = context.new_page()
    notes = looked.troubles
    page.on("console", lambda m: notes.append(f"console {m.type}: {m.text}"))
    page.on("pageerror", lambda e: notes.append(f"error: {e}"))
    page.on(
        "request",
        lambda r: (
            None
            if r.url == file.absolute().as_uri() or r.url.startswith("data:")
            else notes.append(f"asks for {r.url}")
        ),
    )
    began = time.perf_counter()
    page.goto(file.absolute().as_uri())
    page.evaluate("document.documentElement.scrollHeight")
    looked.seconds = max(looked.seconds, time.perf_counter() - began)
    return page


def _wider(page: Page, width: int) -> Iterator[str]:
    """Yield that the page scrolls sideways, if it does."""
    found = page.evaluate("document.documentElement.scrollWidth")
    if found > width:
        yield f"scrolls sideways: {found} of {width} px"


def _violations(page: Page) -> Iterator[tuple[str, str]]:
    """Yield how bad each thing is that axe finds, and what it is, with the first place."""
    for found in page.evaluate("axe.run().then(result => result.violations)"):
        nodes = found["nodes"]
        yield (
            found["impact"],
            f"{found['id']} in {len(nodes)} places, first {nodes[0]['html']:.120}",
        )


def _without_scripts(browser: Browser, file: Path, looked: Looked) -> None:
    """Use all that can be used, with scripts off."""
    page = _opened(browser, file, looked, "light", 390, scripts=False)
    looked.sections += page.locator("h2").all_text_contents()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    if not page.url.endswith("#main"):
        looked.troubles.append("the first Tab does not reach the link that skips to the content")
    links, folded = page.locator("nav a").all(), page.locator("details").all()
    for link in links:
        looked.troubles += _followed(page, link)
    for one in folded:
        looked.troubles += _unfolded(one)
    for region in page.locator(".scroll").all():
        if region.evaluate("e => e.scrollWidth > e.clientWidth && e.tabIndex != 0"):
            looked.troubles.append("a table that scrolls cannot be reached by keyboard")
    looked.controls = len(links) + len(folded) + 1
    page.context.close()


def _followed(page: Page, link: Locator) -> Iterator[str]:
    """Yield where a link does not bring what it names into view."""
    link.click()
    place = page.locator(link.get_attribute("href") or "").bounding_box()
    if place is None or not -1 <= place["y"] < 900:
        yield f"the link '{link.text_content()}' does not lead there"


def _unfolded(one: Locator) -> Iterator[str]:
    """Yield where a folded text does not show when it is clicked, or hide again by keyboard."""
    summary, inside = one.locator("> summary"), one.locator("> :not(summary)").first
    summary.click()
    if not inside.is_visible():
        yield f"'{summary.text_content()}' does not unfold"
    summary.press("Enter")
    if inside.is_visible():
        yield f"'{summary.text_content()}' does not fold by keyboard"
