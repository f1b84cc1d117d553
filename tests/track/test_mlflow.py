"""A store of MLflow, read back with MLflow's own client."""

import os
import subprocess
import sys

import pytest

from edgekd.pipeline.events import RunNotice
from edgekd.track.mlflow import MlflowRuns
from edgekd.track.tracker import RUN

NEEDED = "needs the extra: pip install 'edgekd[track]'"
tracking = pytest.importorskip("mlflow.tracking", reason=NEEDED)
pytest.importorskip("sqlalchemy", reason=NEEDED)
pytest.importorskip("alembic", reason=NEEDED)
# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def runs_of(uri, experiment):
    """Return a client, and the runs of an experiment by name, the newest of each."""
    client = tracking.MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    made = client.search_runs([found.experiment_id], order_by=["attributes.start_time DESC"])
    return client, made


def curve(client, run, name):
    return [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]


@pytest.fixture(scope="module")
def twice(run):
    """Return the first run's result, a client, and the runs of two runs by name and state."""
    first = run("{mlflow: {}}")
    run("{mlflow: {}}")
    client, made = runs_of(f"sqlite:///{run.folder}/mlflow.db", "tiny")
    return first, client, made


def one(made, name, state):
    (found,) = [r for r in made if r.info.run_name == name and r.data.tags["state"] == state]
    return found


def test_stages_are_nested_in_the_run(twice):
    _, _, made = twice
    assert sorted(run.info.run_name for run in made) == sorted(
        2 * ["tiny", "teacher", "teacher.outputs", "student"]
    )
    parents = [run.info.run_id for run in made if run.info.run_name == "tiny"]
    inner = [run.data.tags["mlflow.parentRunId"] for run in made if run.info.run_name != "tiny"]
    assert sorted(inner) == sorted(3 * parents)
    assert {run.info.status for run in made} == {"FINISHED"}


@pytest.mark.parametrize("state", ["done", "kept"])
def test_every_epoch_is_there_as_the_history_has_it(twice, epochs_of, state):
    first, client, made = twice
    run, past = one(made, "student", state), epochs_of(first)
    for name, value in (
        ("epoch/loss", lambda e: e["loss"]),
        ("epoch/terms/kd", lambda e: e["terms"]["kd"]),
        ("epoch/validation/accuracy", lambda e: e["validation"]["accuracy"]),
    ):
        assert curve(client, run, name) == [(e["epoch"], value(e)) for e in past], name


def test_steps_settings_and_facts_are_there(twice):
    _, client, made = twice
    run = one(made, "student", "done")
    ((step, loss),) = curve(client, run, "step/loss")[-1:]
    terms = [dict(curve(client, run, f"step/terms/{n}"))[step] for n in ("kd", "cross_entropy")]
    assert step == 40
    assert loss == pytest.approx(terms[0] + 0.5 * terms[1], rel=1e-5)
    assert run.data.params["objective.0.temperature"] == "4.0"
    assert run.data.params["kind"] == "distill"
    assert run.data.tags["facts.says"].startswith("depthwise ")
    assert run.data.metrics["facts/result"] > 0
    kept = one(made, "student", "kept")
    assert kept.data.tags["stage.kept"].startswith("made at 2")
    assert kept.info.start_time <= run.info.start_time + 1000, "as of when it was made"


def test_a_server_that_is_not_there_is_told_once_and_the_run_goes_on(run, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    events = []
    result = run("{mlflow: {uri: 'http://127.0.0.1:9'}}", listener=events.append)
    assert result.exit_code == 0
    (notice,) = [event for event in events if isinstance(event, RunNotice)]
    assert notice.message.startswith("track.mlflow: MlflowException: ")
    assert "127.0.0.1" in notice.message
    assert events[-1].event == "run_done"


@pytest.fixture
def store(tmp_path):
    """Return trackers of one store, and a function that reads it."""
    uri = f"sqlite:///{tmp_path}/deep/mlflow.db"
    return lambda: MlflowRuns(uri, "trials", "tiny"), lambda: runs_of(uri, "trials")


def test_long_and_many_and_oddly_named_values_are_taken(store, monkeypatch):
    """In portions that every server takes: this store would take more."""
    make, read = store
    tracker = make()
    log, sizes = tracker._client.log_batch, []

    def logged(run, **given):
        sizes.append({name: len(items) for name, items in given.items()})
        log(run, **given)

    monkeypatch.setattr(tracker._client, "log_batch", logged)
    settings = {f"objective[{n}].name": "x" * 9000 for n in range(150)}
    tracker.begin(RUN, settings, 1.0)
    tracker.words(RUN, "facts", {f"a {n}": "y" * 9000 for n in range(150)}, 1.0)
    tracker.numbers(RUN, {f"gates/a<b>/{n}": float(n) for n in range(1100)}, 0, 1.0)
    tracker.end(RUN, "done", 2.0)
    assert sizes == [
        {"params": 100}, {"params": 50}, {"tags": 100}, {"tags": 50},
        {"metrics": 1000}, {"metrics": 100},
    ]  # fmt: skip
    _, (run,) = read()
    assert len(run.data.params) == 150
    assert run.data.params["objective.149.name"] == "x" * 500
    assert sum(name.startswith("facts.a ") for name in run.data.tags) == 150
    assert len(run.data.metrics) == 1100
    assert run.data.metrics["gates/a_b_/7"] == 7.0
    assert (run.info.start_time, run.info.end_time) == (1000, 2000)


@pytest.mark.parametrize(
    ("state", "status"),
    [("failed", "FAILED"), ("left out", "FAILED"), ("interrupted", "KILLED"), ("kept", "FINISHED")],
)
def test_a_run_ends_as_its_stage_did(store, state, status):
    make, read = store
    tracker = make()
    tracker.begin(RUN, {}, 1.0)
    tracker.end(RUN, state, 2.0)
    _, (run,) = read()
    assert (run.info.status, run.data.tags["state"]) == (status, state)


def test_files_are_kept_beside_the_database(store, tmp_path):
    make, read = store
    (tmp_path / "report.md").write_text("# Report")
    tracker = make()
    tracker.begin(RUN, {}, 1.0)
    tracker.file(tmp_path / "report.md")
    _, (run,) = read()
    kept = tmp_path / "deep" / "mlartifacts" / run.info.run_id / "artifacts" / "report.md"
    assert kept.read_text() == "# Report"


@pytest.mark.parametrize(("wish", "off"), [(None, True), ("false", False)])
def test_nothing_is_reported_to_mlflows_makers_unless_the_user_asks_for_it(tmp_path, wish, off):
    code = (
        "import sys\nfrom edgekd.track.mlflow import MlflowRuns\n"
        "try:\n    MlflowRuns('sqlite:///' + sys.argv[1], 'x', 'y')\n"
        "finally:\n    from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY as off\n"
        "    from mlflow.telemetry import get_telemetry_client as client\n"
        "print(off.get(), client() is None)\n"
    )
    quiet = {"CI", "PYTEST_CURRENT_TEST", "GITHUB_ACTIONS", "DO_NOT_TRACK"}
    env = {k: v for k, v in os.environ.items() if k not in quiet | {"MLFLOW_DISABLE_TELEMETRY"}}
    env |= {} if wish is None else {"MLFLOW_DISABLE_TELEMETRY": wish, "CI": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m.db")],
        check=True, capture_output=True, text=True, env=env,
    )  # fmt: skip
    assert done.stdout.split() == [str(off), "True"]
    assert done.stderr == ""
