"""Running pipelines: what is done, kept, explained, and left behind when something breaks."""

import shutil

import numpy as np
import pytest
from PIL import Image

import edgekd
from edgekd.core.errors import RequestError, StageError
from edgekd.pipeline import resolution
from edgekd.pipeline.plan import explain
from edgekd.pipeline.workshop import Workshop

from .conftest import TINY


def weights(folder, stage):
    manifests = (folder / ".edgekd" / "results").glob("*/manifest.json")
    (found,) = [m.parent for m in manifests if f'"stage": "{stage}"' in m.read_text()]
    return (found / "model.safetensors").read_bytes()


def test_stages_run_once_and_are_kept(tiny, tmp_path):
    first = tiny()
    assert list(first.ran) == ["teacher", "teacher.outputs", "student", "smaller"]
    assert first.exit_code == 0
    assert not list((tmp_path / ".edgekd" / "unfinished").iterdir())
    events = []
    second = tiny(listener=events.append)
    assert list(second.ran) == []
    assert second.folder == first.folder
    assert [e.event for e in events] == ["run_started", *["stage_kept"] * 4, "run_done"]


def test_a_changed_option_reruns_what_rests_on_it_and_why_names_it(tiny):
    tiny()
    changed = ["stages.student.objective[0].temperature=2.0"]
    plan = edgekd.plan("tiny.yaml", sets=changed)
    assert [step.action for step in plan.steps] == ["keep", "keep", "run", "run"]
    assert explain(plan, "student") == ["student: objective[0].temperature: 4.0 -> 2.0"]
    assert explain(plan, "smaller") == [
        "smaller: input student changes",
        "student: objective[0].temperature: 4.0 -> 2.0",
    ]
    assert list(tiny(sets=changed).ran) == ["student", "smaller"]
    assert list(tiny().ran) == [], "the earlier result is still there"


def test_two_stores_hold_the_same_bytes(tiny, tmp_path):
    tiny(store=tmp_path / "a" / ".edgekd")
    tiny(store=tmp_path / "b" / ".edgekd")
    for stage in ("teacher", "student", "smaller"):
        assert weights(tmp_path / "a", stage) == weights(tmp_path / "b", stage)


def test_a_seed_moves_only_its_stage(tiny):
    tiny()
    assert list(tiny(sets=["stages.student.seed=1"]).ran) == ["student", "smaller"]


def test_until_runs_a_stage_and_what_it_rests_on(tiny):
    assert list(tiny(until="teacher").ran) == ["teacher"]
    with pytest.raises(RequestError, match="Did you mean 'teacher'"):
        tiny(until="techer")


def test_a_stage_that_fails_leaves_the_ones_before_it(tiny, tmp_path):
    with pytest.raises(StageError, match="not finite"):
        tiny(sets=["stages.student.train.learning_rate=1e30"])
    assert not list((tmp_path / ".edgekd" / "tmp").iterdir())
    assert list(tiny().ran) == ["student", "smaller"]


def test_a_teacher_can_be_given_as_weights(tiny, tmp_path):
    tiny(until="teacher")
    (tmp_path / "given.safetensors").write_bytes(weights(tmp_path, "teacher"))
    text = TINY.replace("    train: {epochs: 1}\n", "    weights: given.safetensors\n", 1)
    elsewhere = tmp_path / "elsewhere"
    result = tiny(text, until="teacher", store=elsewhere / ".edgekd")
    assert result.facts["teacher"]["result"]["value"] > 0
    assert weights(elsewhere, "teacher") == weights(tmp_path, "teacher")


def test_weights_of_another_model_are_refused(tiny, tmp_path):
    tiny(until="teacher")
    (tmp_path / "given.safetensors").write_bytes(weights(tmp_path, "teacher"))
    text = TINY.replace("    train: {epochs: 1}\n", "    weights: given.safetensors\n", 1)
    with pytest.raises(RequestError, match="does not fit"):
        tiny(text.replace("blocks: [1]}", "blocks: [1, 1]}", 1), until="teacher")


PLUGIN = '''
"""A method of the user's own."""
import os

from torch import nn

from edgekd.core.config import Config
from edgekd.core.kinds import model, objective


class Wide(Config):
    width: int = 4
    """Hidden units."""


@model(config=Wide, name="my_mlp")
def my_mlp(config, signature):
    size = signature.inputs[0].concrete()
    return nn.Sequential(
        nn.Flatten(), nn.Linear(size[1] * size[2] * size[3], config.width), nn.ReLU(),
        nn.Linear(config.width, int(signature.outputs[0].shape[-1])),
    )


@objective(name="my_hint")
def my_hint(config, *, student_feature, teacher_feature):
    return (student_feature - teacher_feature).square().mean(-1)


@objective(name="wide")
def wide(config, *, student_logits):
    return student_logits


@objective(name="dies")
def dies(config, *, student_logits):
    os._exit(7)


@objective(name="raises")
def raises(config, *, student_logits):
    raise ArithmeticError("of the plug-in")
'''
OWN = TINY.replace("seed: 0\n", "seed: 0\nplugins: [mine.py]\n").replace(
    "{kind: depthwise, width: 4, blocks: [1]}", "{kind: my_mlp, width: 8}"
)


@pytest.fixture
def own(tiny, tmp_path):
    def run(objective, **options):
        (tmp_path / "mine.py").write_text(PLUGIN)
        text = OWN.replace("[{kind: kd, temperature: 4.0}, cross_entropy]", objective)
        return tiny(text, until="student", **options)

    return run


def test_a_model_and_a_loss_of_the_users_own_serve_like_ours(own, tmp_path):
    hint = '[cross_entropy, {kind: my_hint, tap: {student: "1", teacher: stages.0.0.0}}]'
    with pytest.raises(RequestError, match="the teacher has no module"):
        own(hint.replace("stages.0.0.0", "stagez.0"))
    result = own("[cross_entropy, {kind: kd, temperature: 2.0}]")
    assert list(result.ran) == ["teacher", "teacher.outputs", "student"]
    (tmp_path / "mine.py").write_text(PLUGIN + "\n# changed\n")
    plan = edgekd.plan("tiny.yaml")
    assert "code" in plan.step("student").reasons[0]


def test_a_feature_term_learns_from_tapped_modules(own):
    result = own('[cross_entropy, {kind: my_hint, tap: {student: "3", teacher: head}}]')
    assert list(result.ran) == ["teacher", "teacher.outputs", "student"]


def test_a_plugin_that_raises_is_a_failed_stage_with_its_log(own):
    with pytest.raises(StageError, match=r"ArithmeticError: of the plug-in(?s:.*)traceback is in"):
        own("[raises]")


def test_a_worker_that_dies_is_a_failed_stage(own):
    with pytest.raises(StageError, match="ended with status 7"):
        own("[dies]")


def test_a_plugin_package_serves_a_run_after_a_plan_and_its_modules_count(
    tiny, tmp_path, monkeypatch
):
    package = tmp_path / "site" / "mypkg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from mypkg import hint\n")
    source = (
        '"""A loss."""\nfrom edgekd.core.kinds import objective\n\n'
        '@objective(name="own_hint")\ndef own_hint(config, *, student_logits):\n'
        "    return student_logits.square().mean(-1)\n"
    )
    (package / "hint.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    text = TINY.replace("seed: 0\n", "seed: 0\nplugins: [mypkg]\n").replace(
        "cross_entropy]", "cross_entropy, own_hint]"
    )
    (tmp_path / "tiny.yaml").write_text(text)
    edgekd.plan("tiny.yaml")
    assert list(tiny(text, until="student").ran) == ["teacher", "teacher.outputs", "student"]
    (package / "hint.py").write_text(source + "# changed\n")
    assert "code" in edgekd.plan("tiny.yaml").step("student").reasons[0]


def test_a_nearer_target_file_is_found_by_the_next_plan(tiny, tmp_path):
    text = TINY + "  onnx: {kind: export, model: $student, runtime: onnxruntime}\n"
    (tmp_path / "tiny.yaml").write_text(text)
    before = edgekd.plan("tiny.yaml").step("onnx").identity
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "cpu.yaml").write_text(
        "description: mine\ntransport: {kind: local}\nruntimes: [onnxruntime]\nthreads: 2\n"
    )
    assert edgekd.plan("tiny.yaml").step("onnx").identity != before


def test_an_unwritable_folder_for_runs_is_refused_before_anything_runs(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="--runs"):
        tiny(runs=tmp_path / "file" / "runs")
    assert not list((tmp_path / ".edgekd" / "results").iterdir())


def test_a_damaged_record_of_another_run_disturbs_no_run(tiny, tmp_path):
    (tmp_path / "runs" / "old").mkdir(parents=True)
    (tmp_path / "runs" / "old" / "run.json").write_text('{"name": "old"}')
    (tmp_path / "runs" / "older").mkdir()
    (tmp_path / "runs" / "older" / "run.json").write_text("{")
    assert tiny(until="teacher").exit_code == 0


def test_a_last_batch_of_one_example_is_no_trouble(tiny):
    assert tiny(sets=["task.train_examples=65"], until="teacher").exit_code == 0


def test_what_a_killed_run_left_is_swept(tiny, tmp_path):
    tiny(until="teacher")
    left = tmp_path / ".edgekd" / "tmp" / "0123-99999999"
    left.mkdir()
    tiny(until="teacher")
    assert not left.exists()


def test_typing_mistakes_and_dangling_references_come_together(tiny):
    text = TINY.replace("epochs: 2", "epochs: two").replace("model: $student", "model: $studnt")
    with pytest.raises(RequestError) as caught:
        tiny(text.replace("data: digits", "data: digitz"))
    found = str(caught.value)
    for words in ("found 'two'", "Did you mean 'student'", "Did you mean 'digits'"):
        assert words in found


def test_a_long_chain_of_teachers_plans_at_once(tiny, tmp_path):
    stages = "".join(
        f"  s{i}:\n    kind: distill\n    teacher: $s{i - 1}\n    model: $s{i - 1}\n"
        "    objective: [kd]\n"
        for i in range(1, 60)
    )
    text = TINY[: TINY.index("  student:")].replace("  teacher:", "  s0:") + stages
    (tmp_path / "tiny.yaml").write_text(text)
    assert len(edgekd.plan("tiny.yaml").steps) == 60 + 59  # what each teacher says is kept


def test_nothing_is_imported_from_the_folder_of_the_user(tiny, tmp_path):
    (tmp_path / "edgekd").mkdir()
    (tmp_path / "edgekd" / "__init__.py").write_text("raise SystemExit('a folder of the user')")
    (tmp_path / "safetensors.py").write_text("raise SystemExit('a file of the user')")
    assert tiny(until="teacher").exit_code == 0


def altered(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_a_result_that_was_altered_is_made_again_saying_so(tiny, tmp_path):
    tiny(until="student")
    kept = sorted((tmp_path / ".edgekd" / "results").glob("*/model.safetensors"))
    altered(kept[0])
    (stage,) = edgekd.plan("tiny.yaml", until="student").to_run[:1]
    assert stage.reasons == [
        "its kept result is damaged (model.safetensors was altered) and is made anew"
    ]
    assert list(tiny(until="student").ran) == [stage.stage.name], "what rests on it is the same"


def test_a_stage_that_comes_out_the_same_leaves_the_others_kept(own, tmp_path):
    own("[cross_entropy]")
    (tmp_path / "mine.py").write_text(PLUGIN + "\n# changed\n")
    sets = ["stages.student.objective=[cross_entropy]"]
    planned = edgekd.plan("tiny.yaml", sets=sets)
    assert planned.step("student").reasons == ["the code of mine.py changed"]
    assert planned.step("smaller").reasons == ["no earlier result"]


@pytest.mark.parametrize(
    ("after", "again"), [("teacher", ["teacher.outputs", "student"]), ("student", [])]
)
def test_a_result_that_is_altered_while_it_is_needed_is_not_built_on(tiny, tmp_path, after, again):
    keys = {}

    def alter(event):
        if event.event == "stage_done":
            keys[event.stage] = event.key
            if event.stage == after:
                result = tmp_path / ".edgekd" / "results" / keys["teacher"][:20]
                altered(result / "model.safetensors")

    with pytest.raises(StageError, match=r"teacher changed while it was needed: model.safetens"):
        tiny(listener=alter)
    assert list(tiny().ran) == ["teacher", *again, "smaller"]


def test_a_plugin_file_counts_only_where_it_is_used(own, tmp_path):
    own("[cross_entropy]")
    (tmp_path / "mine.py").write_text(PLUGIN + "\n# changed\n")
    plan = edgekd.plan("tiny.yaml")
    assert plan.step("teacher").action == "keep"
    assert plan.step("student").action == "run", "its model is of that file"


def test_an_objective_of_the_wrong_shape_is_named(own):
    with pytest.raises(StageError, match=r"'wide' returned the shape \[64, 10\]"):
        own("[wide]")


def test_all_of_a_package_counts_where_one_module_of_it_is_named(tiny, tmp_path, monkeypatch):
    package = tmp_path / "site" / "theirs"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "maths.py").write_text("FACTOR = 1.0\n")
    (package / "loss.py").write_text(
        '"""A loss."""\nfrom edgekd.core.kinds import objective\n'
        "from theirs.maths import FACTOR\n\n"
        '@objective(name="their_loss")\ndef their_loss(config, *, student_logits):\n'
        "    return FACTOR * student_logits.square().mean(-1)\n"
    )
    (tmp_path / "site" / "loose.py").write_text("HALF = 0.5\n")
    (tmp_path / "mine.py").write_text(PLUGIN + "\nfrom loose import HALF\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    text = OWN.replace("[mine.py]", "[mine.py, theirs.loss]").replace(
        "[{kind: kd, temperature: 4.0}, cross_entropy]", "[cross_entropy, their_loss]"
    )
    tiny(text, until="student")
    (package / "maths.py").write_text("FACTOR = 2.0\n")
    assert edgekd.plan("tiny.yaml").step("student").reasons == ["the code of maths.py changed"]
    (tmp_path / "site" / "loose.py").write_text("HALF = 0.25\n")
    assert edgekd.plan("tiny.yaml").step("student").reasons == [
        "the code of loose.py, maths.py changed"
    ]


def test_a_library_of_another_build_plans_anew(tiny, monkeypatch):
    tiny(until="teacher")
    asked, resolve = [], Workshop.resolve
    monkeypatch.setattr(Workshop, "resolve", lambda *a: asked.append(a) or resolve(*a))
    edgekd.plan("tiny.yaml", until="teacher")
    assert not asked
    stamp = resolution.installed
    monkeypatch.setattr(resolution, "installed", lambda n: "other" if n == "torch" else stamp(n))
    edgekd.plan("tiny.yaml", until="teacher")
    assert asked


PHOTOS = TINY.replace(
    "data: digits, train_examples: 128", "data: {kind: image_folder, root: photos, size: 8}"
)


def test_data_that_changes_while_a_stage_reads_it_gives_no_result(tiny, tmp_path):
    write_pictures(tmp_path / "photos")

    def touch(event):
        if event.event == "stage_progress" and event.stage == "teacher":
            (picture,) = (tmp_path / "photos" / "train" / "a").glob("0.png")
            picture.write_bytes((tmp_path / "photos" / "test" / "b" / "1.png").read_bytes())

    with pytest.raises(StageError, match="photos changed while the stage was at work"):
        tiny(PHOTOS, until="teacher", listener=touch)
    assert list(tiny(PHOTOS, until="teacher").ran) == ["teacher"]


def test_a_later_stage_reads_data_that_changed_since_the_first(tiny, tmp_path):
    write_pictures(tmp_path / "photos")

    def touch(event):
        if event.event == "stage_done" and event.stage == "teacher":
            for picture in (tmp_path / "photos" / "val").glob("*/0.png"):
                picture.unlink()

    seen = tiny(PHOTOS, until="student", listener=touch).facts
    assert seen["teacher"]["result"]["n"] == 16
    assert seen["student"]["result"]["n"] == 14


def test_a_kept_result_that_goes_before_its_turn_is_made_again(tiny, tmp_path):
    tiny()

    def remove(event):
        if event.event == "run_started":
            for kept in (tmp_path / ".edgekd" / "results").glob("*"):
                shutil.rmtree(kept)

    assert list(tiny(listener=remove).ran) == ["teacher", "teacher.outputs", "student", "smaller"]


def write_pictures(root, count=8):
    for split in ("train", "val", "test"):
        for index, name in enumerate(("a", "b")):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                rng = np.random.default_rng([index, number, len(split)])
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
