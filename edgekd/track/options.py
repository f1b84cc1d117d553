"""What a pipeline file says under `track:`, and which packages that takes."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, StringConstraints, ValidationInfo

from edgekd.core.config import Config, LocalPath

SQLITE = "sqlite:///"
PACKAGES = {
    "tensorboard": {"tensorboard": "tensorboard"},
    "mlflow": {"mlflow": "mlflow-skinny", "sqlalchemy": "sqlalchemy", "alembic": "alembic"},
}
"""Of each tracker: the modules that it imports, with the distributions that bring them."""


def _store(uri: str, info: ValidationInfo) -> str:
    """Return the address of a store; a relative file of SQLite is beside the pipeline."""
    parts = urlsplit(uri)
    if parts.password is not None:
        raise ValueError(
            "a pipeline file holds no password: reports and bundles show it. Set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or leave uri out and set "
            "MLFLOW_TRACKING_URI"
        )
    if parts.scheme in ("", "file"):
        raise ValueError(
            "MLflow keeps no runs in plain folders any more. Give a database, "
            f"{SQLITE}mlflow.db, or a server, http://..."
        )
    if parts.scheme != "sqlite":
        return uri
    if not uri.startswith(SQLITE) or uri == SQLITE:
        raise ValueError(f"expected {SQLITE}FILE")
    beside = Path((info.context or {}).get("beside", "."))
    return SQLITE + str((beside / Path(uri.removeprefix(SQLITE)).expanduser()).absolute())


class Mlflow(Config):
    """Runs in MLflow: one per run of the pipeline, and one in it per stage."""

    uri: Annotated[str, AfterValidator(_store)] | None = None
    """A server, `http://...`, or a database, `sqlite:///mlflow.db`; without one
    MLFLOW_TRACKING_URI, else `mlflow.db` beside the pipeline file."""
    experiment: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """The experiment that the runs belong to; without one it has the pipeline's name."""


class Track(Config):
    """Where a run's numbers are told besides its own files; no result depends on it."""

    tensorboard: LocalPath | None = None
    """A folder for event files, one folder in it per run."""
    mlflow: Mlflow | None = None
    """A store of MLflow."""

    @property
    def distributions(self) -> list[str]:
        """The packages that what is asked for takes."""
        return [package for name in self._asked for package in PACKAGES[name].values()]

    def absent(self) -> Iterator[tuple[str, str]]:
        """Yield what is asked for, with each package that it takes and that is not installed."""
        for name in self._asked:
            for module, package in PACKAGES[name].items():
                if importlib.util.find_spec(module) is None:
                    yield name, package

    @property
    def _asked(self) -> list[str]:
        return [name for name in PACKAGES if getattr(self, name) is not None]


def address(asked: Mlflow, beside: Path) -> str:
    """Return the store that is meant, for a pipeline file in the folder `beside`."""
    return asked.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{beside / 'mlflow.db'}"
