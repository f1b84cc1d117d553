"""The report's forms, written."""

import os
import platform
from pathlib import Path

from edgekd.report.html import to_html
from edgekd.report.junit import to_junit
from edgekd.report.markdown import to_markdown
from edgekd.report.schema.report import Report


def write_report(document: Report, folder: Path) -> None:
    """Write `report.json`, `report.md`, `report.html`, and `report.xml` for CI."""
    (folder / "report.json").write_text(document.model_dump_json(indent=1) + "\n", "utf-8")
    (folder / "report.md").write_text(to_markdown(document), "utf-8")
    (folder / "report.html").write_text(to_html(document), "utf-8")
    (folder / "report.xml").write_text(to_junit(document), "utf-8")


def here() -> dict[str, str]:
    """Return what tells this machine from another, in the words of a manifest's host."""
    return {"arch": platform.machine(), "cores": str(os.cpu_count())}
