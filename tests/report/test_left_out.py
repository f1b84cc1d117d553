from types import SimpleNamespace

from edgekd.report.html import to_html
from edgekd.report.left_out import left_out
from edgekd.report.markdown import to_markdown

FACTS = {
    "left_out": {"aten.mean.dim": 1, "aten.embedding": 2, "aten.abs": 1},
    "left_out_because": {"aten.mean.dim": "keepdim=True only", "aten.embedding": "none such"},
}


def program(name, role):
    return SimpleNamespace(name=name, role=role)


def found(*programs):
    return list(left_out(programs, {"pte": SimpleNamespace(facts=FACTS)}))


def test_operators_of_candidates_are_named_most_frequent_first():
    rows = found(program("pte", "candidate"), program("given", "candidate"))
    assert [(row.operator, row.count, row.why) for row in rows] == [
        ("aten.embedding", 2, "none such"),
        ("aten.abs", 1, "not known"),  # kept from before reasons were noted
        ("aten.mean.dim", 1, "keepdim=True only"),
    ]
    assert found(program("pte", "along")) == []


def test_the_report_shows_them_beside_the_steps_and_nothing_where_all_were_taken(passing):
    assert "left to portable kernels" not in to_html(passing)
    (check,) = passing.checks
    more = check.model_copy(update={"left_out": found(program("pte", "candidate"))})
    report = passing.model_copy(update={"checks": [more]})
    assert "keepdim=True only" in to_html(report)
    assert "| pte | aten.embedding | 2 | none such |" in to_markdown(report)
