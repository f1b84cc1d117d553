"""Take the pictures of a report: light and dark, wide and narrow.

    pip install playwright
    python docs/screenshot.py runs/<run>/report.html docs/images [--browser /usr/bin/chromium]

Writes report-{light,dark}-{1280,390}.png, and report.png, the first screen for the README. Exits
with 1 where the page asks the network for something, logs an error or scrolls sideways.
"""

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def main() -> int:
    """Take all pictures; return 1 where something about the page is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    troubles: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.browser, args=list(QUIET))
        for scheme in ("light", "dark"):
            for width in (1280, 390):
                troubles += take(browser, arguments.report, arguments.out, scheme, width)
        browser.close()
    sys.stderr.write("".join(f"{trouble}\n" for trouble in troubles))
    return 1 if troubles else 0


def take(browser: Browser, report: Path, out: Path, scheme: str, width: int) -> list[str]:
    """Take one picture of the whole page and return what is wrong with the page."""
    troubles: list[str] = []
    where = f"{scheme} {width}"
    page = browser.new_page(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.on("console", lambda m: troubles.append(f"{where}: console {m.type}: {m.text}"))
    page.on("pageerror", lambda e: troubles.append(f"{where}: {e}"))
    page.on(
        "request",
        lambda r: (
            None
            if r.url.startswith(("file:", "data:"))
            else troubles.append(f"{where}: asks for {r.url}")
        ),
    )
    page.goto(report.absolute().as_uri())
    if page.evaluate("document.documentElement.scrollWidth") > width:
        troubles.append(f"{where}: the page scrolls sideways")
    page.screenshot(path=out / f"report-{scheme}-{width}.png", full_page=True)
    if (scheme, width) == ("light", 1280):
        page.screenshot(path=out / "report.png")
    page.close()
    return troubles


if __name__ == "__main__":
    sys.exit(main())
