"""Looks at report pages in a headless browser, takes pictures, and says what is wrong with them.

    python tests/pages/check_pages.py [PAGE.html ...] [--folder build/pages]

Without pages it makes its own: of the quickstart, of two such runs compared, of two model files
benched, and of a synthetic run with 20 targets and 50 candidates. Of each page, wide and narrow,
in light and dark: it says nothing to the console and asks the network for nothing; has its
sections; does not scroll sideways, folded or not; axe-core finds nothing serious or critical; with
scripts off its links and foldings work; it has less than 3 MiB and loads in less than 3 s.
Pictures are left as `<page>-{light,dark}-{1280,390}.png`, and `<page>.png`, the first screen.
Exits with 1 where something is wrong. Needs chromium, playwright (the extra `dev`), and once npm,
for axe-core, which is kept in --axe.
"""

import argparse
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from browser import QUIET, Looked, look
from made import Made, pages
from playwright.sync_api import sync_playwright

AXE = "4.14.1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgekd-pages"


def main() -> int:
    """Look at all pages; return 1 where something about one is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", type=Path, nargs="*")
    parser.add_argument("--folder", type=Path, default=Path("build/pages"))
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--axe", type=Path, default=CACHE)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    axe = axe_core(asked.axe)
    given = [Made(page, ()) for page in asked.pages]
    wrong = False
    print(f"{'page':<10} {'MiB':>5} {'load s':>7} {'sections':>9} {'controls':>9} {'wrong':>6}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=asked.browser, args=list(QUIET))
        for made in given or pages(asked.folder):
            looked = look(browser, made.file, made.sections, axe, asked.folder)
            tell(made.file.stem, looked)
            wrong = wrong or bool(looked.troubles)
        browser.close()
    return int(wrong)


def tell(name: str, looked: Looked) -> None:
    """Print a line, and below it what is wrong, and what is worth a look."""
    print(
        f"{name:<10} {looked.mib:5.2f} {looked.seconds:7.2f} {len(looked.sections):9} "
        f"{looked.controls:9} {len(looked.troubles):6}",
        flush=True,
    )
    for what in dict.fromkeys(looked.troubles):
        print(f"  ✗ {what}")
    for what in dict.fromkeys(looked.slight):
        print(f"  ? {what}")


def axe_core(cache: Path) -> str:
    """Return the source of axe-core, which npm fetches once."""
    packed = cache / f"axe-core-{AXE}.tgz"
    if not packed.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", f"axe-core@{AXE}", "--pack-destination", str(cache)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(packed) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member, "a release of axe-core holds the built script"
        return member.read().decode()


if __name__ == "__main__":
    sys.exit(main())
