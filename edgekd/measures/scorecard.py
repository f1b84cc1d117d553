"""All measures that the evidence allows, by the name that a gate calls them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgekd.core.quantity import Quantity
from edgekd.core.registry import Plugin
from edgekd.core.signals import EVIDENCE
from edgekd.measures.contract import gate_names, measures
from edgekd.ops import statistics


def measure_all(evidence: Mapping[str, Any]) -> dict[str, Quantity]:
    """Return every quantity by gate name; a measure whose evidence is missing is left out."""
    found: dict[str, Quantity] = {}
    for plugin in measures():
        if not set(plugin.needs) <= set(evidence):
            continue
        result = plugin.build(plugin.config())(**{name: evidence[name] for name in plugin.needs})
        if set(plugin.needs) & set(EVIDENCE):
            found |= result
        else:
            found[gate_names(plugin)[0]] = _mean(plugin, result)
    return found


def _mean(plugin: Plugin, per_example: Any) -> Quantity:
    """Return the mean of one value per example with the interval that its kind calls for."""
    values = per_example.detach().flatten().double().numpy()
    count, bounds = len(values), tuple(plugin.traits["bounds"])
    whole = np.isin(values, (-1, 0, 1)).all()
    if whole and bounds == (0, 1):
        low, high = statistics.share_interval(int(values.sum()), count)
    elif whole and bounds == (-1, 1):
        gained, lost = int((values < 0).sum()), int((values > 0).sum())
        low, high = statistics.paired_share_interval(gained, lost, count)
    else:
        low, high = _within(statistics.mean_interval(values), bounds)
    return Quantity(float(values.mean()), plugin.traits["unit"], low, high, count)


def _within(interval: statistics.Interval, bounds: tuple[Any, ...]) -> statistics.Interval:
    """Return an interval cut to what the measure can be."""
    least, most = (
        fallback if bound is None else float(bound)
        for bound, fallback in zip(bounds, (float("-inf"), float("inf")), strict=True)
    )
    return max(least, interval[0]), min(most, interval[1])
