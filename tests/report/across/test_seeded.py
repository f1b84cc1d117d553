import pytest

from edgekd.report.across.seeded import seeded


def group(values, seeds=(0, 1, 2)):
    scores = [
        {"stage": f"student.{seed}", "seed": seed, "score": {"value": value, "unit": "share"}}
        for seed, value in zip(seeds, values, strict=True)
    ]
    arm = {
        "name": "student", "setting": "", "control": False, "scores": scores, "mean": None,
        "deviation": None, "difference": None, "p": None, "words": "",
    }  # fmt: skip
    return {"stage": "student", "measure": "accuracy", "tests": 0, "arms": [arm]}


@pytest.fixture
def runs(edited, pair):
    from dataclasses import replace

    def make(*comparisons):
        base = pair()[0]
        return [
            replace(base, letter=letter, report=edited(lambda d, c=c: d.update(comparisons=c)))
            for letter, c in zip("ABC", comparisons, strict=False)
        ]

    return make


def test_equal_seeds_are_paired(runs):
    """t = 0.02 / (0.01 / sqrt 3) = 3.46 with 2 degrees of freedom: p = 0.0742."""
    (one,) = seeded(runs([group([0.90, 0.91, 0.92])], [group([0.93, 0.93, 0.93])]))
    assert one.difference.value == pytest.approx(0.02)
    assert one.p == pytest.approx(0.0742, abs=1e-4)
    assert one.words.startswith("no difference shown (p = 0.074")


def test_seeds_that_one_run_alone_has_are_left_out(runs):
    old, new = group([0.90, 0.50], (0, 7)), group([0.93, 0.10], (0, 8))
    (one,) = seeded(runs([old], [new]))
    assert (one.base.value, one.other.value) == (0.90, 0.93)
    assert "one seed, which tests nothing" in one.words


def test_all_p_values_are_corrected_together(runs):
    first, other = group([0.90, 0.91, 0.92]), group([0.93, 0.93, 0.93])
    found = seeded(runs([first], [other], [other]))
    assert [one.run for one in found] == ["B", "C"]
    assert [one.p for one in found] == pytest.approx([2 * 0.07418, 2 * 0.07418], abs=1e-4)


def test_runs_without_groups_have_nothing_to_pair(pair):
    assert seeded(pair()) == []
