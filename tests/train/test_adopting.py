"""A student that takes its teacher's classifier over: from whom, and when that cannot be."""

import pytest
import torch

from edgekd.core.artifact import Manifest
from edgekd.core.protocols.stage import Ancestor
from edgekd.core.refs import Ref, UseModel, UseStage, UseTask
from edgekd.models.folder import save_model, stored_for
from edgekd.pipeline.preview import StagePreview
from edgekd.testing.runs import ExampleRun
from edgekd.train.adopting import Whom, adopted, check_adopting

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
TEACHER = UseModel.model_validate({"kind": "resnet", "depth": 8, "width": 4})
BODY = {"kind": "depthwise", "width": 4, "blocks": (1,)}
REF = Ref("teacher", ("model",))


def use(width=16):
    given = {"kind": "shared_classifier", "of": BODY, "width": width}
    return UseModel.model_validate(given)


STAGES = {
    "teacher": {
        "kind": "teacher",
        "model": {"kind": "resnet", "depth": 8, "width": 4},
        "untrained": True,
    },
    "seen": {"kind": "outputs", "model": "$teacher"},
}


def said(own, name="teacher", learns=False):
    stages = {n: UseStage.model_validate(use) for n, use in STAGES.items()}
    whom = Whom(Ref(name, ("model",)), learns) if name else None
    found = check_adopting(own, whom, StagePreview(stages, TASK, {}))
    return [(p.path, p.message) for p in found]


def test_what_cannot_be_taken_over_is_told_before_anything_runs():
    takes = "shared_classifier takes parts of"
    assert said(use()) == said(TEACHER, name=None) == []
    assert said(use(), name="of_a_stage_that_cannot_be_read") == []
    assert said(use(), name=None) == [("model", f"{takes} a teacher over, and there is none.")]
    assert said(use(), name="seen") == [
        ("teacher", f"{takes} its teacher over, and $seen gives outputs.")
    ]
    assert said(use(), learns=True) == [
        ("teacher", f"{takes} its teacher over, which would go on learning.")
    ]
    assert said(use(width=9)) == [
        ("model", "the teacher's classifier, head, reads 16 numbers, and width is 9.")
    ]


@pytest.mark.parametrize("between", [False, True])
def test_it_is_taken_of_the_teacher_also_where_its_outputs_stand_between(tmp_path, between):
    torch.manual_seed(1)
    teacher = TEACHER.build()(TASK.signature())
    folder = tmp_path / ("elsewhere" if between else "teacher")
    folder.mkdir()
    save_model(folder, stored_for(TASK, teacher, TEACHER))
    (tmp_path / "teacher").mkdir(exist_ok=True)
    known = {"teacher": Ancestor(folder, Manifest)}
    run = ExampleRun(tmp_path, TASK, ancestors=known)
    module = use().build()(TASK.signature())
    adopted(use(), module, Whom(REF, learns=False), run)
    assert torch.equal(module.head.weight, teacher.head.weight)
