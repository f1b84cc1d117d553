"""What a runtime noted of its operators, run by run, as a few numbers of each."""

from collections import Counter
from statistics import fmean


def summed(runs, whole_us):
    """Return microseconds of a run by operator, module and whether a delegate computes it.

    `runs` holds for each run pairs ((operator, module, delegated), microseconds). Of the runs of
    each the middle half is averaged: runtimes count in whole microseconds, and a run that was
    interrupted is in nobody's middle. `whole_us` are the times of the runs themselves.
    """
    spent = [Counter() for _ in runs]
    calls = Counter()
    for total, run in zip(spent, runs):  # noqa: B905  (Python 3.9 of a device has no strict)
        for key, us in run:
            total[key] += us
            calls[key] += 1
    operators = [
        {
            "operator": operator,
            "module": module,
            "delegated": delegated,
            "calls": calls[operator, module, delegated] / len(runs),
            "us": middle([total[operator, module, delegated] for total in spent]),
        }
        for operator, module, delegated in calls
    ]
    operators.sort(key=lambda each: (-each["us"], each["operator"], each["module"]))
    return {"runs": len(runs), "whole_us": middle(whole_us), "operators": operators}


def middle(values):
    """Return the mean of the middle half."""
    ordered, cut = sorted(values), len(values) // 4
    return fmean(ordered[cut : len(ordered) - cut])
