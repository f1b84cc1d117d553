"""Runs mutants by hand and keeps what was found: python -m fuzz MODULE SEED COUNT FOLDER [JOBS]."""

import sys
import time
from collections import Counter
from pathlib import Path

from fuzz.herd import survey

module, seed, count, folder = sys.argv[1:5]
began = time.monotonic()
found = survey(module, int(seed), int(count), jobs=int(sys.argv[5]) if len(sys.argv) > 5 else 1)
found.save(Path(folder))
print(f"{time.monotonic() - began:.0f} s", found.table())
for why, times in Counter(finding["why"] for finding in found.found).most_common(60):
    print(times, why[:400])
