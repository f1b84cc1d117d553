"""The software bill of materials of a bundle: CycloneDX 1.6, the same for the same content."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import Distribution
from typing import TYPE_CHECKING

from edgekd.bundle.document import Asked, Digest
from edgekd.bundle.lock import Locked
from edgekd.core.artifact import digest_json

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression

MAX_LICENCE = 80
"""Longer texts in a package's licence field are whole licences, not names of one."""


def sbom(
    asked: Asked,
    packages: Mapping[str, Locked],
    artifacts: Mapping[str, Digest],
    created_at: str,
) -> str:
    """Return the document: the run, its packages with licences, its artifacts with digests."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    run = Component(name=asked.pipeline, type=ComponentType.APPLICATION, bom_ref="run")
    parts = {name: _package(one) for name, one in packages.items()}
    files = [_artifact(name, digest) for name, digest in artifacts.items()]
    bom = Bom(
        metadata=BomMetaData(component=run, timestamp=datetime.fromisoformat(created_at)),
        components=[*parts.values(), *files],
        serial_number=_serial(asked, packages, artifacts, created_at),
    )
    bom.register_dependency(run, [*files, *(parts[n] for n in ("edgekd",) if n in parts)])
    for name, one in packages.items():
        bom.register_dependency(parts[name], [parts[need] for need in one.needs])
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _serial(
    asked: Asked, packages: Mapping[str, Locked], artifacts: Mapping[str, Digest], created_at: str
) -> uuid.UUID:
    """Return a number that is the same for the same content, as no other SBOM has it."""
    content = {
        "request": asked.model_dump(),
        "packages": {name: one.package.model_dump() for name, one in packages.items()},
        "artifacts": {name: digest.sha256 for name, digest in artifacts.items()},
        "created_at": created_at,
    }
    return uuid.uuid5(uuid.NAMESPACE_URL, f"edgekd:sbom:{digest_json(content)}")


def _package(locked: Locked) -> "Component":
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    package = locked.package
    record = [Property(name="edgekd:record:sha256", value=package.record)]
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"pypi:{package.name}",
        purl=PackageURL("pypi", None, package.name, package.version),
        licenses=list(_licences(locked.distribution)),
        properties=record if package.record else [],
    )


def _artifact(name: str, digest: Digest) -> "Component":
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        name=name,
        type=ComponentType.FILE,
        bom_ref=f"file:{name}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest.sha256)],
        properties=[Property(name="edgekd:size_bytes", value=str(digest.size))],
    )


def _licences(installed: Distribution) -> "Iterable[LicenseExpression | DisjunctiveLicense]":
    """Yield what a package says of its licence: an SPDX expression, else names."""
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
    from cyclonedx.spdx import fixup_id, is_expression

    said = installed.metadata.json if hasattr(installed.metadata, "json") else {}
    expression = str(said.get("license_expression", "")).strip()
    if expression and is_expression(expression):
        yield LicenseExpression(expression)
        return
    name = str(said.get("license", "")).strip()
    if name and len(name) <= MAX_LICENCE and "\n" not in name:
        known = fixup_id(name)
        yield DisjunctiveLicense(id=known) if known else DisjunctiveLicense(name=name)
        return
    for line in said.get("classifier", ()):
        if line.startswith("License :: "):
            yield DisjunctiveLicense(name=line.rpartition(" :: ")[2])
