"""How clean a choice among a pool is, where the pool's source knows what each picture is."""

from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from edgekd.core.protocols.source import Source
from edgekd.train.marks import SELECTED, read_selected


def enrichment(folders: Iterable[Path], pool: Source) -> dict[str, Any] | None:
    """Return what was kept over the epochs of several seeds; None where nothing was chosen.

    `share` is that of pictures of the pool's first kind in the pool, `among_kept` the mean of that
    among those kept, `enrichment` its ratio to `share`.
    """
    chosen = [read_selected(one).numpy() for one in folders if (one / SELECTED).is_file()]
    if not chosen:
        return None
    wanted = np.asarray(pool.load("train")["label"]) == 0
    among = [[float(wanted[row].mean()) for row in own] for own in chosen]
    share = float(wanted.mean())
    every = [one / share for own in among for one in own]
    return {
        "what": pool.labels[0],
        "share": share,
        "kept": mean(float(own.mean()) for own in chosen),
        "among_kept": mean(map(mean, among)),
        "enrichment": {"mean": mean(every), "least": min(every), "most": max(every)},
        "by_epoch": [mean(own) / share for own in zip(*among, strict=True)],
    }
