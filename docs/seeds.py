"""Print a table over runs that differ in a seed: mean and standard deviation of each figure.

python docs/seeds.py runs/2026-11-22-fashion-mnist*

Each folder is a finished run with a report.json of the same pipeline.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

FIGURES = {
    "accuracy": ("test accuracy, %", 100),
    "agreement": ("agreement with teacher, %", 100),
    "size_mib": ("size, MiB", 1),
    "latency_p50_ms": ("p50, ms", 1),
    "speedup": ("faster than teacher", 1),
}


def main() -> None:
    """Print one Markdown row per program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    folders = parser.parse_args().runs
    for folder in folders:
        report = json.loads((folder / "report.json").read_text("utf-8"))
        for row in report["checks"][0]["rows"]:
            for name in FIGURES.keys() & row["quantities"].keys():
                values[row["program"]][name].append(row["quantities"][name]["value"])
    print("| program |" + "".join(f" {title} |" for title, _ in FIGURES.values()))
    print("|---|" + "---|" * len(FIGURES))
    for program, found in values.items():
        cells = [spread(found[name], factor) for name, (_, factor) in FIGURES.items()]
        print(f"| {program} |" + "".join(f" {cell} |" for cell in cells))
    print(f"\nMean and standard deviation over {len(folders)} runs.")


def spread(values: list[float], factor: float) -> str:
    """Return `90.41 ± 0.20`, or a dash where nothing was measured."""
    if not values:
        return "-"
    scaled = [value * factor for value in values]
    deviation = f" ± {stdev(scaled):.2g}" if len(scaled) > 1 and len(set(scaled)) > 1 else ""
    return f"{mean(scaled):.4g}{deviation}"


if __name__ == "__main__":
    main()
