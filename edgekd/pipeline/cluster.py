"""The parent's connection to a Ray cluster, and what its nodes must prove before a stage runs."""

import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from edgekd.core.errors import Problem, RequestError, RunInterruptedError, UnreachableError
from edgekd.pipeline import outpost
from edgekd.pipeline.plan import Plan
from edgekd.pipeline.proof import ABSENT, proof
from edgekd.pipeline.store import Store

LOCAL = "local"
OPTION = "--ray"
SECONDS_TO_CONNECT = 10
SECONDS_TO_EXAMINE = 300
SMALLEST_OBJECT_STORE = 100 * 2**20
"""Results go through the store's folder; Ray itself carries only a few lines of JSON."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
SAME_PATHS = (
    "Every node needs the store, the pipeline's folder and the data under the same paths, on a "
    "file system that all share."
)


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to, and what is asked of its nodes."""

    cpus: int
    """That each worker computes with: the `threads` of the pipeline, in every process of it."""
    gpus: int
    asked: Mapping[str, Any]
    """What a node is to look at."""
    expected: Mapping[str, Any]
    """What it must see."""
    proven: set[str] = field(default_factory=set)
    """Ids of the nodes that do."""

    @property
    def share(self) -> dict[str, int]:
        """What Ray keeps free for one worker, as options of Ray's."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus}

    @property
    def share_in_words(self) -> str:
        """What one worker takes."""
        processors = f"{self.cpus} CPU{'s' if self.cpus > 1 else ''}"
        return processors + (f" and {self.gpus} GPU{'s' * (self.gpus > 1)}" if self.gpus else "")

    def strange(self, seen: Mapping[str, Any]) -> list[Problem]:
        """Return how a node differs from this machine."""
        node, found = seen["node"], []
        if seen["token"] != self.expected["token"]:
            message = f"node {node} does not see the store: {self.asked['token']} is not there."
            found.append(Problem("", message, SAME_PATHS, OPTION))
        for path, size in self.expected["sizes"].items():
            if seen["sizes"][path] != size:
                there = "is not there" if seen["sizes"][path] is None else "is another one there"
                message = f"node {node} does not see what this machine sees: {path} {there}."
                found.append(Problem("", message, SAME_PATHS, OPTION))
        return [*found, *self._other_code(seen)]

    def _other_code(self, seen: Mapping[str, Any]) -> Iterator[Problem]:
        node = seen["node"]
        step = f"Install there, for {seen['python']}, what is installed here."
        try:
            there = json.loads(seen["proof"])
        except ValueError:
            message = f"edgekd cannot be started on node {node}: {seen['complaint']}"
            yield Problem("", message, step, OPTION)
            return
        here = self.expected["proof"]
        if there["edgekd"] != here["edgekd"]:
            yield Problem("", f"node {node} has another edgekd than this machine.", step, OPTION)
        for name in sorted(here.keys() - {"edgekd"}):
            if there.get(name, ABSENT) != here[name]:
                versions = f"{there.get(name, ABSENT)}, here {here[name]}"
                yield Problem("", f"node {node} has another {name}: {versions}.", step, OPTION)


def check_address(address: str) -> None:
    """Raise RequestError where an address cannot be one, or where ray is not installed."""
    if address not in (LOCAL, "auto") and not re.fullmatch(r"[\w.\-\[\]:]*[\w\].]:\d+", address):
        message = f"'{address}' is no address of a Ray cluster."
        step = "Give local (one of its own, on this machine), auto, or HOST:PORT of its head."
        raise RequestError(Problem("", message, step, OPTION))
    if importlib.util.find_spec("ray") is None:
        step = 'Install it: pip install "edgekd[ray]", on every node too.'
        raise RequestError(Problem("", "the package ray is not installed here.", step, OPTION))


@contextmanager
def cluster(address: str, plan: Plan, store: Store) -> Iterator[Cluster]:
    """Connect to a cluster and yield it once all its nodes have proven to be fit.

    UnreachableError where none answers; RequestError with the problems of all nodes.
    """
    resolved = plan.resolved
    request = Path(resolved.request.file)
    paths = {str(request), str(Path.cwd()), *resolved.depends}
    paths |= {path for step in plan.steps for path in step.stage.files}
    token = store.root / "logs" / f"{secrets.token_hex(8)}.token"
    word = secrets.token_hex(8)
    found = Cluster(
        cpus=resolved.threads * resolved.request.processes,
        gpus=resolved.request.processes if resolved.device == "cuda" else 0,
        asked={"token": str(token), "paths": sorted(paths), "distributions": [*resolved.versions]},
        expected={
            "token": word,
            "sizes": {path: outpost.size_of(path) for path in paths},
            "proof": proof(resolved.versions),
        },
    )
    token.write_text(word, "utf-8")
    try:
        with _connected(address):
            _examine_all(found)
            yield found
    finally:
        token.unlink(missing_ok=True)


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """Hold a connection to a cluster, for `local` one that lives as long."""
    own = address == LOCAL
    folder = tempfile.mkdtemp(prefix="edgekd-ray-") if own else ""
    settings = QUIET | (_own_settings() if own else {})
    with _environment(settings):
        import ray

        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if own:
            options |= {"_temp_dir": folder, "include_dashboard": False}
            options |= {"object_store_memory": SMALLEST_OBJECT_STORE}
        try:
            with _signals_kept():
                _connect(ray, address, options)
            # What Ray says of lost workers would stand between the lines of --json: we say it.
            ray._private.worker._worker_logs_enabled = False
            yield
        finally:
            ray.shutdown()
            ray._private.worker._worker_logs_enabled = True
            if own:
                shutil.rmtree(folder, ignore_errors=True)


def _connect(ray: Any, address: str, options: Mapping[str, Any]) -> None:
    try:
        if address not in (LOCAL, "auto"):  # Ray would try for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_CONNECT).close()
        ray.init(address=address, **options)
    except (RuntimeError, ValueError, OverflowError, OSError) as error:
        what = (
            "no Ray instance starts" if address == LOCAL else f"no Ray cluster answers at {address}"
        )
        why = str(error).strip().splitlines()
        step = "Start one (ray start --head), or take --ray local." if address != LOCAL else ""
        problem = Problem("", f"{what}: {why[0] if why else type(error).__name__}", step, OPTION)
        raise UnreachableError(str(problem)) from error
    except SystemExit as error:  # what Ray makes of SIGTERM meanwhile
        raise RunInterruptedError("") from error


def _own_settings() -> dict[str, str]:
    """Return what keeps an instance of our own to this machine and to this process.

    The first one has Ray take the loopback address, whatever its name says; it is read when ray is
    imported. The token guards the ports, and would else be written to the user's home.
    """
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": _own_token(),
    }


@cache
def _own_token() -> str:
    """Return one token for all instances of this process: Ray reads it only once."""
    return secrets.token_hex(32)


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep what SIGTERM does: Ray takes it over when it connects."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _examine_all(found: Cluster) -> None:
    """Have every node with room for a worker look; RequestError with the problems of all."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ray.cloudpickle.register_pickle_by_value(outpost)
    fit = [node for node in ray.nodes() if _has_room(node, found)]
    if not fit:
        message = f"no node of the cluster has {found.share_in_words} for a worker."
        raise RequestError(Problem("", message, "Lower threads in the file.", OPTION))
    ask = ray.remote(outpost.examine)
    looking = {
        node["NodeID"]: ask.options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote(found.asked)
        for node in fit
    }
    problems: list[Problem] = []
    for node in fit:
        try:
            seen = ray.get(looking[node["NodeID"]], timeout=SECONDS_TO_EXAMINE)
        except ray.exceptions.RayError as error:
            why = str(error).strip().splitlines()[-1]
            message = f"node {node['NodeManagerHostname']} does not answer: {why}"
            problems.append(Problem("", message, "Take it out of the cluster.", OPTION))
            continue
        problems += found.strange(seen)
        found.proven.add(node["NodeID"])
    if problems:
        raise RequestError(dict.fromkeys(problems))


def _has_room(node: Mapping[str, Any], found: Cluster) -> bool:
    has = node["Resources"]
    enough = has.get("CPU", 0) >= found.cpus and has.get("GPU", 0) >= found.gpus
    return bool(node["Alive"] and enough)
