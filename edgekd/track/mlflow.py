"""Runs in MLflow: one for the run of the pipeline, and a nested one per stage.

The client of `mlflow-skinny` is enough, with SQLAlchemy for a database of one's own. What MLflow
reports of its use to its makers is off, unless the user's environment turns it on.
"""

import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekd.track.options import SQLITE
from edgekd.track.tracker import RUN, State

SECONDS_BETWEEN_WRITES = 1.0
MOST_METRICS, MOST_ROWS, LONGEST_TEXT = 1000, 100, 500
"""What every server takes at once."""
STATUS = {
    "done": "FINISHED",
    "kept": "FINISHED",
    "failed": "FAILED",
    "left out": "FAILED",
    "interrupted": "KILLED",
}


class MlflowRuns:
    """Adds a run, with one nested run per stage, to an experiment."""

    def __init__(self, uri: str, experiment: str, name: str):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.tracking import MlflowClient

        if "MLFLOW_LOGGING_LEVEL" not in os.environ:  # it tells of every table that it makes
            logging.getLogger("mlflow").setLevel(logging.ERROR)
        self._metric, self._param, self._tag = Metric, Param, RunTag
        if uri.startswith(SQLITE):
            Path(uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=uri)
        self._experiment, self._name = self._experiment_of(experiment, uri), name
        self._runs: dict[str, str] = {}
        self._waiting: dict[str, list[Any]] = {}
        self._written = time.monotonic()

    def begin(self, stage: str, settings: Mapping[str, str], at: float) -> None:
        """Make a run, with a parameter per setting."""
        parent = {"mlflow.parentRunId": self._runs[RUN]} if stage != RUN else {}
        made = self._client.create_run(
            self._experiment, start_time=int(at * 1000), tags=parent, run_name=stage or self._name
        )
        run = self._runs[stage] = made.info.run_id
        params = [self._param(_name(k), v[:LONGEST_TEXT]) for k, v in settings.items()]
        for some in _some(params, MOST_ROWS):
            self._client.log_batch(run, params=some)

    def numbers(self, stage: str, values: Mapping[str, float], step: int, at: float) -> None:
        """Log one metric per name; a server is asked once a second at most."""
        waiting = self._waiting.setdefault(stage, [])
        waiting += [self._metric(_name(k), v, int(at * 1000), step) for k, v in values.items()]
        if time.monotonic() - self._written >= SECONDS_BETWEEN_WRITES:
            self._write()

    def words(self, stage: str, about: str, rows: Mapping[str, str], at: float) -> None:  # noqa: ARG002
        """Set one tag per row."""
        tags = [self._tag(_name(f"{about}.{k}"), v[:LONGEST_TEXT]) for k, v in rows.items()]
        for some in _some(tags, MOST_ROWS):
            self._client.log_batch(self._runs[stage], tags=some)

    def file(self, path: Path) -> None:
        """Keep a file as an artifact of the whole run."""
        self._client.log_artifact(self._runs[RUN], str(path))

    def end(self, stage: str, state: State, at: float) -> None:
        """End a stage's run."""
        self._write()
        run = self._runs.pop(stage)
        self._client.set_tag(run, "state", state)
        self._client.set_terminated(run, STATUS[state], int(at * 1000))

    def _write(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, {}
        for stage, metrics in waiting.items():
            for some in _some(metrics, MOST_METRICS):
                self._client.log_batch(self._runs[stage], metrics=some)
        self._written = time.monotonic()

    def _experiment_of(self, name: str, uri: str) -> str:
        """Return the experiment's id; one that is not there is made."""
        from mlflow.exceptions import MlflowException

        if found := self._client.get_experiment_by_name(name):
            return str(found.experiment_id)
        beside = Path(uri.removeprefix(SQLITE)).parent / "mlartifacts"
        artifacts = beside.as_uri() if uri.startswith(SQLITE) else None
        try:
            return str(self._client.create_experiment(name, artifacts))
        except MlflowException:  # another run made it meanwhile
            if found := self._client.get_experiment_by_name(name):
                return str(found.experiment_id)
            raise


def _some(items: Sequence[Any], most: int) -> list[list[Any]]:
    """Return the items in portions."""
    return [list(items[start : start + most]) for start in range(0, len(items), most)]


def _name(text: str) -> str:
    """Return a name that MLflow takes."""
    return re.sub(r"[^\w\-. /]", "_", re.sub(r"\[(\d+)\]", r".\1", text))[:250]
