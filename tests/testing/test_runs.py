from edgekd.core.protocols.stage import Run
from edgekd.core.refs import Ref, UseTask
from edgekd.testing.runs import ExampleRun


def test_an_example_run_is_a_run_with_folders_of_its_own(tmp_path):
    task = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
    run = ExampleRun(tmp_path, task, stops=lambda: True)
    assert isinstance(run, Run)
    assert run.stop_asked()
    assert run.out.is_dir()
    assert run.unfinished.is_dir()
    assert run.out != run.unfinished
    assert run.input(Ref("teacher", ("model",))) == tmp_path / "teacher"
    run.notice("something")
    run.progress(1, 2, "training", score=0.5)
    assert (run.notices, run.told) == (["something"], [(1, 2, "training")])
