"""One finished run with programs, measurements and a report, and its bundle."""

import pytest

import edgekd
from edgekd.bundle.write import write_bundle

from ..pipeline.conftest import TINY

WHOLE = (
    TINY.replace("name: tiny", "name: whole").partition("  smaller:")[0]
    + """\
  int8: {kind: quantize, model: $student, transform: {kind: int8_static}}
  onnx: {kind: export, model: $int8, runtime: onnxruntime}
  check:
    kind: validate
    programs: [$onnx]
    reference: $teacher
    bench: {restarts: 2, max_restarts: 2, min_runs: 64, min_s: 0.05, warmup_runs: 8, warmup_s: 0.05}
    gates: {size_mib: "<= 1"}
  report: {kind: report, of: [$check]}
"""
)


class Finished:
    """A run that was made once, and its bundle."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "mine.yaml"
        self.store, self.runs = folder / ".edgekd", folder / "runs"
        self.zip = folder / "run.zip"
        self.file.write_text(WHOLE)
        self.result = self.run()
        self.bundle = write_bundle(self.zip, self.result)

    def run(self, **options):
        """Run it again: all is kept but for what the options change."""
        return edgekd.run(self.file, store=self.store, runs=self.runs, **options)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    return Finished(tmp_path_factory.mktemp("finished"))
