"""What is told before a stage runs."""

from dataclasses import dataclass, field

import pytest

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.needs import ALONE, Hands
from edgekd.core.refs import Ref, UseModel, UseObjective, UseTask, UseTransform
from edgekd.stages import distill, export, mixed_targets, prune, quantize, teacher
from edgekd.train.check import check_model, check_paths, check_terms, check_transform

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
GOOD = UseModel.model_validate({"kind": "depthwise", "width": 4})
NOPE = UseModel.model_validate({"kind": "pretrained", "config": {"model_type": "nope"}})


@pytest.fixture(autouse=True)
def own_plugins():
    """Register some plug-ins for as long as a test lasts."""

    @kinds.model(config=Config, name="raises")
    def raises(config, signature):
        raise LookupError("no such layer")

    @kinds.objective(config=Config, name="tapped")
    def tapped(config, *, student_feature):
        return student_feature.mean(1)

    @kinds.transform(config=Config, name="purposeless")
    def purposeless(config, model, *, signature, batches):
        return model

    @kinds.transform(config=Config, name="purposed", purpose="quantize")
    def purposed(config, model, *, signature, batches):
        return model

    yield
    del kinds.transform._loaded["purposed"]
    del kinds.model._loaded["raises"]
    del kinds.objective._loaded["tapped"]
    del kinds.transform._loaded["purposeless"]


@dataclass
class Preview:
    """A pipeline in which `$it` is of one kind."""

    of: str = "teacher"
    definition: UseModel | None = GOOD
    task: object = TASK
    targets: dict = field(default_factory=dict)
    hands: Hands = ALONE
    given: Config | None = None

    def task_of(self, ref):
        return self.task

    def model(self, ref):
        return self.definition

    def runtime(self, ref):
        return None

    def kind(self, ref):
        return self.of

    def makes(self, ref):
        return "model"

    def options(self, ref):
        return self.given

    def transform(self, ref):
        return None


def transform(kind, **options):
    return UseTransform.model_validate({"kind": kind, **options})


def problems(stage, preview, **options):
    config = kinds.stage.get(stage).config
    modules = {"prune": prune, "quantize": quantize, "distill": distill, "export": export}
    modules |= {"teacher": teacher, "mixed_targets": mixed_targets}
    return list(modules[stage].check(config.model_validate(options), preview))


def test_a_model_that_raises_anything_is_a_problem_with_its_reason():
    use = UseModel.model_validate("raises")
    (problem,) = check_model(use, TASK, "model")
    assert "LookupError('no such layer')" in problem.message
    assert list(check_paths(["x"], use, TASK, "exclude")) == []


@pytest.mark.parametrize("paths", [[], ["head"]])
def test_a_bad_model_is_reported_by_its_own_stage_alone(paths):
    assert list(check_paths(paths, NOPE, TASK, "exclude")) == []
    (problem,) = check_model(NOPE, TASK, "model")
    assert "no model_type is 'nope'" in problem.message
    tap = {"student": "x", "teacher": "x"}
    term = [UseObjective.model_validate({"kind": "tapped", "tap": tap})]
    assert list(check_terms(term, TASK, NOPE, {"teacher": NOPE})) == []


def test_a_path_that_is_not_there_is_named_with_the_nearest():
    (problem,) = check_paths(["head", "hed"], GOOD, TASK, "exclude")
    assert problem.path == "exclude[1]"
    assert "Did you mean 'head'" in problem.next_step


@pytest.mark.parametrize(
    ("stage", "kind", "options"),
    [("prune", "int8_static", {}), ("quantize", "channels", {"ratio": 0.5})],
)
def test_a_transform_for_something_else_is_refused_with_those_that_fit(stage, kind, options):
    other = {"kind": kind, **options}
    (problem,) = problems(stage, Preview(), model="$it", transform=other)
    assert problem.path == "transform"
    assert kind in problem.message
    fitting = {"prune": "channels, encoder", "quantize": "int4_weights, int8_dynamic, int8_static"}[
        stage
    ]
    assert f"Transforms for {stage}: " in problem.next_step
    assert fitting in problem.next_step


def test_a_transform_that_does_not_say_what_it_is_for_is_refused():
    (problem,) = check_transform(transform("purposeless"), "prune", "transform")
    assert "does not say what it is for" in problem.message
    assert 'purpose="prune"' in problem.next_step


@pytest.mark.parametrize("asked", [{"sensitivity": True}, {"budget": {"accuracy_drop": 0.003}}])
def test_a_transform_that_knows_no_layers_is_refused_where_they_are_asked_for(asked):
    @kinds.transform(config=Config, name="whole", purpose="quantize")
    def whole(config, model, *, signature, batches):
        return model

    try:
        (problem,) = problems("quantize", Preview(), model="$it", transform="whole", **asked)
        plain = problems("quantize", Preview(), model="$it", transform="whole", sensitivity=False)
    finally:
        del kinds.transform._loaded["whole"]
    assert problem.path == next(iter(asked))
    assert "'whole' cannot quantize one layer alone" in problem.message
    assert "int8_static" in problem.next_step
    assert not plain
    assert not problems("quantize", Preview(), model="$it", transform="int8_static", **asked)


PRUNE = {"model": "$it", "transform": {"kind": "channels", "ratio": 0.5}}
QUANTIZE = {"model": "$it", "transform": "int8_static"}
GO_ON = {"model": "$it", "objective": ("cross_entropy",)}
LEARN = {"model": GOOD, "teacher": "$it", "objective": ("cross_entropy",)}


@pytest.mark.parametrize(
    ("stage", "options", "path"),
    [
        ("prune", PRUNE, "model"),
        ("quantize", QUANTIZE, "model"),
        ("distill", LEARN, "teacher"),
    ],
)
def test_going_on_from_a_quantized_model_is_refused(stage, options, path):
    (problem,) = problems(stage, Preview(of="quantize"), **options)
    assert problem.path == path
    assert f"{Ref('it', ())} is quantized" in problem.message
    assert problems(stage, Preview(), **options) == []


@dataclass
class Quantized(Preview):
    """A pipeline in which `$it` is quantized in one way."""

    of: str = "quantize"
    by: UseTransform | None = None

    def transform(self, ref):
        return self.by


def test_a_transform_tells_of_the_model_at_its_place_in_the_stage():
    dynamic = {"kind": "int8_dynamic"}
    (problem,) = problems("quantize", Preview(), model="$it", transform=dynamic)
    assert problem.path == "transform"
    assert "9 to 10 times slower" in problem.message
    asked = dynamic | {"convolutions": True}
    assert problems("quantize", Preview(), model="$it", transform=asked) == []
    assert problems("quantize", Preview(definition=NOPE), model="$it", transform=dynamic) == []


@pytest.mark.parametrize(
    ("runtime", "kind", "options", "said"),
    [
        ("executorch", "int4_weights", {"symmetric": False}, "symmetric 4-bit weights only"),
        ("onnxruntime", "int4_weights", {"symmetric": False}, ""),
        ("onnxruntime", "purposed", {}, "cannot be quantized by 'purposed'"),
        ("executorch", "purposed", {}, ""),
    ],
)
def test_a_runtime_refuses_a_specification_before_the_run(runtime, kind, options, said):
    use = transform(kind, **options)
    found = problems("export", Quantized(by=use), model="$it", runtime=runtime)
    assert [problem.path for problem in found] == (["model"] if said else [])
    assert all(said in problem.message for problem in found)
    pruned = Quantized(of="prune", by=use)  # it has a transform, too, and is in fp32
    assert problems("export", pruned, model="$it", runtime=runtime) == []


@dataclass
class Trained(Preview):
    """A pipeline in which `$it` was trained from `$int8`, which is quantized."""

    of: str = "distill"
    by: UseTransform | None = None

    def kind(self, ref):
        return self.of if ref.stage == "it" else "quantize"

    def options(self, ref):
        return kinds.stage.get("distill").config.model_validate(GO_ON | {"model": "$int8"})

    def transform(self, ref):
        return None if ref.stage == "it" else self.by


def test_what_is_trained_from_a_quantized_model_is_quantized_too():
    preview = Trained(by=transform("int8_static"))
    assert problems("distill", preview, **GO_ON) == []
    for stage, options in (("prune", PRUNE), ("quantize", QUANTIZE), ("distill", LEARN)):
        (problem,) = problems(stage, preview, **options)
        assert "$it is quantized" in problem.message
    refused = Trained(by=transform("int4_weights", symmetric=False))
    (problem,) = problems("export", refused, model="$it", runtime="executorch")
    assert "symmetric" in problem.message


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ({"train": {"compile": True}}, "train.compile", "not compiled"),
        ({"train": {"freeze": ("head",)}}, "train.freeze", "without modules"),
        ({"train": {"precision": "auto"}}, "train.precision", "in float32, not in auto"),
        (
            {"train": {"activation_checkpointing": True}},
            "train.activation_checkpointing",
            "without modules",
        ),
        (
            {"objective": ({"kind": "tapped", "tap": {"student": "head"}},)},
            "objective[0].tap",
            "without modules",
        ),
    ],
)
def test_a_student_that_rounds_is_refused_what_it_cannot_do(change, path, said):
    preview = Quantized(by=transform("int8_static"))
    (problem,) = problems("distill", preview, **GO_ON | change)
    assert problem.path == path
    assert said in problem.message


def test_a_kind_that_is_not_trained_is_refused_with_one_that_is():
    preview = Quantized(by=transform("int8_dynamic"))
    (problem,) = problems("distill", preview, **GO_ON)
    assert "cannot be trained while int8_dynamic rounds it" in problem.message
    assert problem.next_step == "Quantize it with int8_static."


def test_a_model_with_far_too_many_modules_is_a_problem_and_not_a_wait(monkeypatch):
    monkeypatch.setattr("edgekd.train.check.MOST_MODULES", 100)
    task = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
    deep = UseModel.model_validate({"kind": "resnet", "depth": 200})
    (problem,) = check_model(deep, task, "model")
    assert "more than 100 modules" in problem.message


@pytest.mark.parametrize(
    ("target", "path", "message"),
    [
        ({"runtimes": ("executorch",)}, "runtime", "target 'cpu' lacks onnxruntime; it has exec"),
        ({"emulated": True}, "target", "is emulated: its latency means nothing"),
    ],
)
def test_a_target_that_cannot_tell_a_latency_is_refused(target, path, message):
    here = {"runtimes": ("onnxruntime",), "emulated": False}
    latency = {"p50_ms": 1.0, "runtime": "onnxruntime"}
    (problem,) = problems(
        "prune",
        Preview(targets={"cpu": here | target}),
        model="$it",
        transform={"kind": "channels", "latency": latency},
    )
    assert problem.path == f"transform.latency.{path}"
    assert message in problem.message


@pytest.mark.parametrize("field", [{"exclude": ("hed",)}, {"ratios": {"hed": 0.5}}])
def test_a_layer_that_is_not_there_is_told_before_anything_is_pruned(field):
    (problem,) = problems(
        "prune", Preview(), model="$it", transform={"kind": "channels", "ratio": 0.5, **field}
    )
    assert problem.path == f"transform.{next(iter(field))}[0]"
    assert "Did you mean 'head'" in problem.next_step


def test_a_term_of_one_true_class_is_refused_beside_an_augmentation_that_mixes():
    mixing = {"augment": ({"kind": "mixup"},)}
    (problem,) = problems(
        "distill", Preview(), model=GOOD, teacher="$it", objective=("mixkd", "bdkd"), train=mixing
    )
    assert problem.path == "objective[1]"
    assert problem.message == "'bdkd' asks for the one true class, and mixup gives examples two."
    assert "takes both: brier, cross_entropy, mixkd" in problem.next_step
    twice = {"augment": ({"kind": "mixup"}, {"kind": "flip"}, {"kind": "mixup"})}
    (problem,) = problems("teacher", Preview(), model=GOOD, train=twice)
    assert problem.path == "train.augment[2]"
    assert "mixup would mix what mixup has mixed before" in problem.message


def test_labels_that_a_task_does_not_have_cannot_be_blended_with_answers():
    bare = {"kind": "unlabelled_images", "data": "digits", "classes": 10}
    preview = Preview(task=UseTask.model_validate(bare).build())
    (problem,) = problems("mixed_targets", preview, plain="$it", taught="$it")
    assert "no classes whose labels could be blended with answers" in problem.message


def test_a_quantized_model_is_not_asked_for_answers_to_blend():
    found = problems("mixed_targets", Preview(of="quantize"), plain="$it", taught="$it")
    assert [problem.path for problem in found] == ["plain", "taught"]


def test_models_that_learned_from_some_labels_are_not_blended_with_all_of_them():
    stage = kinds.stage.get("distill").config
    given = {"model": "depthwise", "objective": ("cross_entropy",)}
    some = Preview(given=stage.model_validate(given | {"train": {"labelled": 50}}))
    found = problems("mixed_targets", some, plain="$it", taught="$it")
    assert [problem.path for problem in found] == ["plain", "taught"]
    assert "$it learned from some labels, and those of all examples" in found[0].message
    every = Preview(given=stage.model_validate(given))
    assert not problems("mixed_targets", every, plain="$it", taught="$it")


def test_a_term_of_two_views_needs_an_augmentation_that_makes_the_second():
    def said(*augments):
        given = {"objective": ({"kind": "view_contrast", "tap": {"student": "pool"}},)}
        train = {"augment": augments}
        return problems("distill", Preview(), model=GOOD, train=train, **given)

    (problem,) = said("flip", {"kind": "mix_distribution", "second": False})
    assert problem.path == "objective[0]"
    assert (
        problem.message
        == "'view_contrast' asks for a second view of each example, and none is made."
    )
    assert problem.next_step.endswith("mix_distribution.")
    assert said("flip", "mix_distribution") == []
