"""Putting a finished run into one file: all that anyone needs to do it again, and to check it.

Not the data, of which names, sizes and digests are noted, and not the weights between the stages,
of which digests are. What goes in is read from the store and compared with what was committed, so
a run in which everything was kept has a bundle as well, and two bundles of one run are the same.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from edgekd.bundle.archive import Source, check_writable, digest_of, write_archive
from edgekd.bundle.document import (
    LOCK,
    NAME,
    PIPELINE,
    RECORD,
    RESOLVED,
    SBOM,
    Asked,
    Bundle,
    Stage,
)
from edgekd.bundle.gather import (
    data_read,
    path_options,
    plugin_code,
    stage_members,
    stages_of,
    target_members,
)
from edgekd.bundle.lock import as_requirements, lock, roots
from edgekd.bundle.names import clash, objection
from edgekd.bundle.sbom import sbom
from edgekd.bundle.unpack import MAX_MEMBERS
from edgekd.core.errors import Problem, RequestError
from edgekd.core.version import VERSION
from edgekd.pipeline.machine import this_machine
from edgekd.pipeline.outcome import RunResult
from edgekd.pipeline.records import Record
from edgekd.pipeline.resolved import Resolved


def write_bundle(out: Path, result: RunResult, until: str | None = None) -> Bundle:
    """Write a run's bundle and return its document.

    RequestError where it cannot be written there, StageError where the store was altered,
    UnreachableError where the disk refuses; none of them leaves a file.
    """
    check_writable(out)
    record = (result.folder / RECORD).read_bytes()
    ran = Record(**json.loads(record))
    stages = list(stages_of(result))
    members = stage_members(stages, result)
    code = list(plugin_code(result.resolved))
    targets = list(target_members(result.resolved))
    asked, packages = _asked(result.resolved, until, ran), lock(roots(result.resolved))
    programs = {
        name: digest_of(members[name])
        for stage in stages
        if stage.makes == "program"
        for name in _named(stage, members)
    }
    for _, sources in code:
        members |= sources
    members |= {
        PIPELINE: result.resolved.text.encode(),
        RESOLVED: (json.dumps(result.resolved.as_dict(), indent=1) + "\n").encode(),
        RECORD: record,
        LOCK: as_requirements(packages).encode(),
        SBOM: sbom(asked, packages, programs, ran.finished_at).encode(),
        **{member: text for _, member, text in targets},
    }
    _check_names(members)
    document = Bundle(
        edgekd=VERSION,
        created_at=ran.finished_at,
        exit_code=result.exit_code,
        request=asked,
        machine=this_machine(),
        packages=[one.package for one in packages.values()],
        plugins=[one for one, _ in code],
        targets={name: member for name, member, _ in targets},
        paths=path_options(result.resolved),
        data=data_read(result),
        stages=stages,
        members={name: digest_of(members[name]) for name in sorted(members)},
    )
    write_archive(out, document, members)
    return document


def _asked(resolved: Resolved, until: str | None, ran: Record) -> Asked:
    request = resolved.request
    return Asked(
        pipeline=resolved.name,
        file=request.file,
        sets=list(request.sets),
        targets=list(request.targets),
        processes=request.processes,
        until=until,
        command=ran.command,
    )


def _named(stage: Stage, members: Iterable[str]) -> list[str]:
    """Return the program files of a stage that are in the bundle."""
    names = [f"{stage.folder}/{file}" for file in stage.files if file != "program.json"]
    return [name for name in names if name in members]


def _check_names(members: dict[str, Source]) -> None:
    """Refuse to write what would be refused when it is opened; RequestError."""
    wrong = next((f"{name!r} {bad}" for name in members if (bad := objection(name))), "")
    wrong = wrong or clash([NAME, *members])
    if not wrong and len(members) > MAX_MEMBERS:
        wrong = f"the run has {len(members):,} files; {MAX_MEMBERS:,} is the limit"
    if wrong:
        step = "Rename the stage, target or file that this name comes from."
        raise RequestError(Problem("", f"no bundle was written: {wrong}.", step, "--bundle"))
