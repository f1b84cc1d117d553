"""The bill of materials: valid by the schema that its own library ships, and repeatable."""

import json

import pytest

from edgekd.bundle.document import Digest
from edgekd.bundle.lock import lock
from edgekd.bundle.sbom import sbom

from .zips import document

WHEN = "2026-01-02T03:04:05+00:00"
PROGRAM = {"stages/04-onnx/onnx.onnx": Digest(sha256="a" * 64, size=7)}


@pytest.fixture(scope="module")
def packages():
    return lock(["edgekd"])


@pytest.fixture(scope="module")
def text(packages):
    return sbom(document({}).request, packages, PROGRAM, WHEN)


def test_it_is_valid_cyclonedx(text):
    pytest.importorskip("jsonschema", reason="comes with the extra 'test'")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    spoiled = json.loads(text) | {"components": [{"name": "without a type"}]}
    assert validator.validate_str(json.dumps(spoiled)) is not None


def test_it_names_packages_with_licences_and_artifacts_with_digests(text, packages):
    found = json.loads(text)
    assert found["specVersion"] == "1.6"
    parts = {one["name"]: one for one in found["components"]}
    assert {*parts} == {*packages} | {*PROGRAM}
    numpy = packages["numpy"].package
    assert parts["numpy"]["purl"] == f"pkg:pypi/numpy@{numpy.version}"
    assert {"name": "edgekd:record:sha256", "value": numpy.record} in parts["numpy"]["properties"]
    (artifact,) = PROGRAM
    assert parts[artifact]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    told = [one for one in found["components"] if one.get("licenses")]
    assert len(told) > 0.9 * len(packages)
    needs = {one["ref"]: one.get("dependsOn", []) for one in found["dependencies"]}
    assert "pypi:sympy" in needs["pypi:torch"]
    assert {*needs["run"]} == {"pypi:edgekd", f"file:{artifact}"}


def test_the_same_content_is_the_same_document_and_another_has_another_number(text, packages):
    asked = document({}).request
    assert sbom(asked, packages, PROGRAM, WHEN) == text
    other = {name: Digest(sha256="b" * 64, size=7) for name in PROGRAM}
    numbers = {
        json.loads(one)["serialNumber"] for one in (text, sbom(asked, packages, other, WHEN))
    }
    assert len(numbers) == 2
    assert json.loads(text)["metadata"]["timestamp"] == WHEN
