"""What embeddings are worth: retrieval, and agreement with a reference's neighbours."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core import kinds
from edgekd.core.quantity import Quantity
from edgekd.measures.contract import check_gate
from edgekd.measures.scorecard import measure_all
from edgekd.ops.neighbours import rank_correlation

SEEDS = st.integers(0, 2**16)
OWN = {"recall_at_1", "recall_at_10"}
COMPARED = {"recall_at_1_drop", "rank_agreement", "neighbour_agreement"}


def evidence(seed: int, noise: float = 0.0, pairs: int = 40) -> dict[str, torch.Tensor]:
    """Return pairs that lie near each other, for a teacher and a noisy copy of it."""
    rng = torch.Generator().manual_seed(seed)
    about = torch.randn(pairs, 16, generator=rng)
    teacher = torch.cat([about, about]) + 0.7 * torch.randn(2 * pairs, 16, generator=rng)
    student = teacher + noise * torch.randn(2 * pairs, 16, generator=rng)
    ids = torch.arange(2 * pairs)
    answers = torch.where(ids < pairs, ids + pairs, -1)
    return {
        "ids": ids,
        "answers": answers,
        "student_embedding": student,
        "teacher_embedding": teacher,
    }


def test_a_copy_of_the_reference_agrees_with_it_in_all() -> None:
    found = measure_all(evidence(0))
    assert set(found) == OWN | COMPARED
    assert found["rank_agreement"].value > 0.9999
    assert found["neighbour_agreement"].value == 1
    assert found["recall_at_1_drop"].value == 0


@given(SEEDS)
def test_the_drop_is_the_difference_of_two_recalls(seed: int) -> None:
    given_ = evidence(seed, noise=1.0)
    own = measure_all(given_)
    reference = measure_all(given_ | {"student_embedding": given_["teacher_embedding"]})
    difference = reference["recall_at_1"].value - own["recall_at_1"].value
    assert abs(own["recall_at_1_drop"].value - difference) < 1e-9


def test_the_noisier_the_copy_the_less_it_agrees() -> None:
    ladder = [measure_all(evidence(1, noise=noise)) for noise in (0.0, 0.5, 2.0, 20.0)]
    for name in ("rank_agreement", "recall_at_10"):
        values = [found[name].value for found in ladder]
        assert values == sorted(values, reverse=True), name
        assert values[-1] < values[0] - 0.3


def test_recall_counts_queries_and_has_an_interval() -> None:
    found: Quantity = measure_all(evidence(2))["recall_at_1"]
    assert found.n == 40
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_among_ten_is_the_tenth_but_not_the_eleventh() -> None:
    """A query at 0 degrees; answers one degree apart, its own the tenth or the eleventh of them."""
    angles = torch.deg2rad(torch.arange(12.0))
    embedding = torch.stack([angles.cos(), angles.sin()], 1)
    for own, found in ((9, 1.0), (10, 1.0), (11, 0.0)):
        answers = torch.full((12,), -1)
        answers[0] = own
        given_ = {"student_embedding": embedding, "ids": torch.arange(12), "answers": answers}
        assert measure_all(given_)["recall_at_10"].value == found, own


def test_options_say_with_how_many_each_is_compared() -> None:
    given_ = evidence(4, noise=2.0)
    sides = {name: given_[name] for name in ("student_embedding", "teacher_embedding")}

    def value(name: str, **options: int) -> torch.Tensor:
        plugin = kinds.measure.get(name)
        found: torch.Tensor = plugin.build(plugin.config(**options))(**sides)
        return found

    wider = [value("neighbour_agreement", among=n).mean() for n in (1, 10, 79)]
    assert wider[0] < wider[1] < wider[2] == 1
    few, many = (value("rank_agreement", most=n) for n in (5, 2000))
    torch.testing.assert_close(few, rank_correlation(*sides.values(), 5))
    assert not torch.equal(few, many)


def test_all_of_them_can_be_demanded() -> None:
    for name in OWN | COMPARED:
        assert kinds.measure.get(name).traits["together"]
        check_gate(name, "<= 0.05" if name == "recall_at_1_drop" else ">= 0.6")


def test_without_a_reference_or_pairs_only_what_needs_neither_is_measured() -> None:
    given_ = evidence(3)
    assert set(measure_all({n: given_[n] for n in ("student_embedding", "ids", "answers")})) == OWN
    embeddings = {name: given_[name] for name in ("student_embedding", "teacher_embedding")}
    assert set(measure_all(embeddings)) == {"rank_agreement", "neighbour_agreement"}
