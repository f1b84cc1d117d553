"""Reads mutants of what lies in a store and of what a user's file names: see `child`."""

import contextlib
import gzip
import io
import json
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

from edgekd.cli.runs import print_runs
from edgekd.core import kinds
from edgekd.core.artifact import SEAL, Manifest, digest_file, digest_json
from edgekd.core.refs import UseModel, UseSource, UseStage, UseTask
from edgekd.core.signature import Port, Signature
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.pipeline import resolution
from edgekd.pipeline.digests import Digests
from edgekd.pipeline.kept import write_sealed
from edgekd.pipeline.preview import StagePreview
from edgekd.pipeline.records import Record, RunFolders
from edgekd.pipeline.resolve import resolve
from edgekd.pipeline.resolved import Request, Resolved
from edgekd.pipeline.store import Store, list_files
from edgekd.testing.runs import ExampleRun
from edgekd.train.check import check_model
from edgekd.train.checkpoint import Checkpoints
from fuzz import documents, raw, tensors
from fuzz.child import Outcome, Try, answered, work
from fuzz.files import OWN, furnish
from fuzz.herd import KINDS_OF_FILES
from fuzz.watch import Watch

MODEL = {"kind": "depthwise", "width": 4, "blocks": (1,)}
TASK = {"kind": "image_classification", "data": {"kind": "image_folder", "size": 8}}
IDENTITY = {"options": {"a": [1, 2.5, None]}, "code": "c0de", "seed": 0}


class Kept:
    """One kind of file: the good one, what reads it, and what a reading may come to."""

    structure: Callable[..., bytes] = staticmethod(documents.mutated)
    """Makes structure-aware mutants."""

    def __init__(self, folder: Path):
        self.folder = folder / type(self).__name__
        self.folder.mkdir()
        self.make()
        self.good = {file: file.read_bytes() for file in self.files()}

    def make(self) -> None:
        """Write the good files."""

    def files(self) -> list[Path]:
        """Return the files that are made bad, one at a time."""
        raise NotImplementedError

    def read(self, file: Path, same: bool) -> str:
        """Read as edgekd does; `same` says that the file holds what it held. Return a word."""
        raise NotImplementedError

    def mutant(self, content: bytes, rng: random.Random) -> tuple[str, bytes]:
        """Return how a mutant was made, and the mutant."""
        if rng.random() < 0.5:
            with contextlib.suppress(ValueError, KeyError, IndexError):
                return "values", self.structure(content, rng)
        others = list(self.good.values())
        return "bytes", raw.mutated(content, rng, others, changes=rng.choice([1, 1, 2, 5]))

    def attempt(self, rng: random.Random, watch: Watch) -> Outcome:
        """Try one mutant."""
        file = rng.choice(list(self.good))
        how, content = self.mutant(self.good[file], rng)
        file.write_bytes(content)
        watch.begin()
        found, came, why = answered(lambda: self.read(file, content == self.good[file]))
        written = ("open for", "os.", "shutil.", "tempfile.")
        seen = {one for one in watch.end() if not one.startswith(written)}
        self.restore()
        if seen and not why:
            why = f"run: {sorted(seen)}"
        evidence = {"file": file.name, "content": content[:200_000].hex()}
        return Outcome(f"{type(self).__name__} {how} {found or came}", why, evidence)

    def restore(self) -> None:
        """Make the files good again."""
        for file, content in self.good.items():
            file.write_bytes(content)


class ManifestFile(Kept):
    """The manifest that commits a result."""

    def make(self) -> None:
        self.store = Store(self.folder / "store")
        self.store.prepare()
        self.key = digest_json(IDENTITY)
        with self.store.filling(self.key) as out:
            (out / "model.bin").write_bytes(b"weights" * 10)
            (out / "inner").mkdir()
            (out / "inner" / "x.json").write_text("{}")
            self.manifest = Manifest(
                key=self.key,
                stage="teacher",
                kind="teacher",
                makes="model",
                identity=IDENTITY,
                inputs={"a": "b"},
                facts={"says": "it", "result": {"value": 0.5, "unit": ""}},
                files=list_files(out),
                started_at="2026-01-01T00:00:00Z",
                seconds=1.0,
                cpu_seconds=1.0,
                host={"cpu": "x"},
            )
            self.store.commit(self.manifest, out)
        self.store.remember("p", "teacher", self.key)

    def files(self) -> list[Path]:
        return [self.store.folder(self.key) / "manifest.json"]

    def read(self, file: Path, same: bool) -> str:
        found, latest = self.store.look(self.key).manifest, self.store.latest("p", "teacher")
        for one in (found, latest):
            assert one is None or asdict(one) == asdict(self.manifest), "it is not what was written"
        return "found" if found else "not found"


class SealedManifest(ManifestFile):
    """A manifest that bears a seal, whoever wrote it."""

    def mutant(self, content: bytes, rng: random.Random) -> tuple[str, bytes]:
        return "values", documents.mutated(content, rng, seal=_sealed)

    def read(self, file: Path, same: bool) -> str:
        found, latest = self.store.look(self.key).manifest, self.store.latest("p", "teacher")
        for one in (found, latest):
            assert one is None or isinstance(one.content, str)
        return "found" if found else "not found"


def _sealed(fields: Any) -> Any:
    if not isinstance(fields, dict):
        return fields
    fields.pop(SEAL, None)
    with contextlib.suppress(ValueError, TypeError):
        fields[SEAL] = digest_json(fields)
    return fields


def _wrapped(document: Any) -> Any:
    """Return a sealed value that was changed, with the seal that it should have."""
    value = document.get("value") if isinstance(document, dict) else document
    with contextlib.suppress(ValueError, TypeError):
        return {"sha256": digest_json(value), "value": value}
    return document


class Plan(Kept):
    """The resolved pipeline that is kept for the next time."""

    def make(self) -> None:
        furnish(self.folder)
        self.request = Request(str(self.folder / "own.yaml"))
        Path(self.request.file).write_text(OWN)
        self.fresh = Resolved.from_dict(json.loads(json.dumps(resolve(self.request).as_dict())))
        self.store = Store(self.folder / "store")
        self.store.prepare()
        self.resolve()

    def resolve(self) -> Resolved:
        """Return the pipeline as kept, or made anew."""
        again: Any = SimpleNamespace(resolve=lambda _: self.fresh)
        return resolution.resolved(self.request, self.store, again)

    def files(self) -> list[Path]:
        return list((self.store.root / "plans").iterdir())

    def read(self, file: Path, same: bool) -> str:
        found = self.resolve()
        assert found.as_dict() == self.fresh.as_dict(), "it is not what was written"
        return "right"


class SealedPlan(Plan):
    """A kept plan that bears a seal, whoever wrote it."""

    def mutant(self, content: bytes, rng: random.Random) -> tuple[str, bytes]:
        return "values", documents.mutated(content, rng, seal=_wrapped)

    def read(self, file: Path, same: bool) -> str:
        return "right" if self.resolve().as_dict() == self.fresh.as_dict() else "another"


class KnownDigests(Kept):
    """What is known of the user's files."""

    def make(self) -> None:
        self.data = self.folder / "data.bin"
        self.data.write_bytes(b"data")
        about = self.data.stat()
        stamp = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
        write_sealed(
            self.folder / "digests.json", {str(self.data): [*stamp, digest_file(self.data)]}
        )

    def files(self) -> list[Path]:
        return [self.folder / "digests.json"]

    def read(self, file: Path, same: bool) -> str:
        digests = Digests(file)
        assert digests.of(self.data) == digest_file(self.data), "it is not what was written"
        digests.save()
        return "right"


class SealedDigests(KnownDigests):
    """Known digests that bear a seal, whoever wrote them."""

    def mutant(self, content: bytes, rng: random.Random) -> tuple[str, bytes]:
        return "values", documents.mutated(content, rng, seal=_wrapped)

    def read(self, file: Path, same: bool) -> str:
        digests = Digests(file)
        digests.of(self.data)
        digests.save()
        return "right"


class RunRecord(Kept):
    """What a run came to, beside its report."""

    def make(self) -> None:
        self.runs = RunFolders(self.folder / "runs")
        self.record = Record(
            name="quickstart",
            file="quickstart.yaml",
            command="edgekd run quickstart.yaml",
            finished_at="2026-01-01T10:00:00Z",
            exit_code=0,
            keys={"teacher": "k"},
            contents={"teacher": "c"},
            results={"teacher": {"says": "it", "result": "0.9"}},
            gates=[{"name": "accuracy", "verdict": "pass", "program": "p", "target": "cpu"}],
        )
        for name in ("one", "two"):
            self.runs.write(self.record, self.runs.root / name)

    def files(self) -> list[Path]:
        return [self.runs.root / "one" / "run.json"]

    def read(self, file: Path, same: bool) -> str:
        for as_json in (False, True):
            with contextlib.redirect_stdout(io.StringIO()):
                print_runs(self.runs.root, as_json)
        self.runs.of(self.record)
        return "listed" if len(list(self.runs.records())) == 2 else "left out"

    def restore(self) -> None:
        for folder in self.runs.root.iterdir():
            if folder.name not in ("one", "two"):
                shutil.rmtree(folder)
        super().restore()


class CheckpointFile(Kept):
    """The state of a training that was interrupted."""

    structure = staticmethod(tensors.mutated)

    def make(self) -> None:
        self.run = ExampleRun(self.folder, SimpleNamespace())  # type: ignore[arg-type]
        state = {"step": 5, "rng": np.arange(4), "model": {"w": torch.ones(3, 2)}, "t": (1, [2.5])}
        Checkpoints(self.run).write(5, state)

    def files(self) -> list[Path]:
        return list(self.run.unfinished.iterdir())

    def read(self, file: Path, same: bool) -> str:
        found = next(Checkpoints(self.run).states(), None)
        assert found is None or (same and found["step"] == 5), "an altered state is used"
        return "used" if found else "removed"

    def restore(self) -> None:
        for file in self.run.unfinished.iterdir():
            file.unlink()
        super().restore()


class NamedCheckpoint(CheckpointFile):
    """A checkpoint whose name bears its digest, whoever wrote it."""

    def read(self, file: Path, same: bool) -> str:
        file.rename(file.with_name(f"step-000000005-{digest_file(file)}.safetensors"))
        found = next(Checkpoints(self.run).states(), None)
        return "used" if found else "removed"


class Weights(Kept):
    """A file of weights that a pipeline names."""

    structure = staticmethod(tensors.mutated)

    def make(self) -> None:
        furnish(self.folder)
        data = {"data": TASK["data"] | {"root": str(self.folder / "photos")}}  # type: ignore[operator]
        self.task = UseTask.model_validate(TASK | data).build()
        file = str(self.folder / "weights.safetensors")
        self.use = UseStage.model_validate({"kind": "teacher", "model": MODEL, "weights": file})
        self.number = 0

    def files(self) -> list[Path]:
        return [self.folder / "weights.safetensors"]

    def read(self, file: Path, same: bool) -> str:
        preview = StagePreview({"teacher": self.use}, self.task, {})
        if list(self.use.plugin.traits["check"](self.use.options, preview)):
            return "refused by the plan"
        run = ExampleRun(self.folder / "runs", self.task)
        self.use.build()(run)
        shutil.rmtree(run.folder)
        return "used"


class Picture(Kept):
    """A picture of the user's folder."""

    def make(self) -> None:
        furnish(self.folder)
        root = self.folder / "photos"
        chance = np.random.default_rng(0)
        for number, ending in enumerate(("png", "jpg", "jpeg")):
            pixels = chance.integers(0, 256, (24, 24, 3), np.uint8)
            Image.fromarray(pixels).save(root / "train" / "cats" / f"x{number}.{ending}")
        self.use = UseSource.model_validate({"kind": "image_folder", "root": str(root), "size": 8})

    def files(self) -> list[Path]:
        return sorted((self.folder / "photos" / "train" / "cats").glob("x*"))

    def mutant(self, content: bytes, rng: random.Random) -> tuple[str, bytes]:
        if rng.random() < 0.1:
            return "values", rng.choice(OTHER_PICTURES) + content
        return super().mutant(content, rng)

    def read(self, file: Path, same: bool) -> str:
        source = self.use.build()
        for split in ("train", "validation"):
            source.load(split)
        return "read"


OTHER_PICTURES = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run\n%%EOF\n",
    b"GIF89a\xff\xff\xff\xff\x80\0\0",
    b"BM" + b"\xff" * 60,
    b"II*\0\x08\0\0\0",
    b"\0\0\x01\0\x01\0",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\x02\0\0\0",
    b"P6 65535 65535 255\n",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"RIFF\xff\xff\0\0WEBPVP8 ",
)
"""Beginnings of other kinds of pictures, and of very large ones."""


ENDLESS = gzip.compress(bytes(1 << 27), 1) * 50
"""Few bytes that are very many when they are unpacked."""


class IdxFile(Kept):
    """One of the four files of Fashion-MNIST."""

    def make(self) -> None:
        for name, count in (("train", 30), ("t10k", 10)):
            pixels = b"\0\0\x08\x03" + np.array([count, 28, 28], ">u4").tobytes()
            pixels += bytes(count * 28 * 28)
            labels = b"\0\0\x08\x01" + np.array([count], ">u4").tobytes()
            labels += bytes(i % 10 for i in range(count))
            self._write(f"{name}-images-idx3-ubyte.gz", pixels)
            self._write(f"{name}-labels-idx1-ubyte.gz", labels)
        options = {"kind": "fashion_mnist", "root": str(self.folder), "validation": 10}
        self.use = UseSource.model_validate(options)

    def _write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(gzip.compress(content, 1, mtime=0))

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def mutant(self, content: bytes, rng: random.Random) -> tuple[str, bytes]:
        if rng.random() < 0.02:
            return "values", content + ENDLESS
        if rng.random() < 0.6:
            inner = raw.mutated(gzip.decompress(content), rng, [], changes=rng.choice([1, 2]))
            return "values", gzip.compress(inner, 1)
        return super().mutant(content, rng)

    def read(self, file: Path, same: bool) -> str:
        source = self.use.build()
        for split in ("train", "validation", "test"):
            source.load(split)
        return "read"


class StoredFile(Kept):
    """A file of a model in the store: the store refuses it; no loader may crash over it."""

    def make(self) -> None:
        image = Port("image", "float32", ("batch", 3, 8, 8))
        signature = Signature((image,), (Port("logits", "float32", ("batch", 2)),))
        use = UseModel.model_validate(MODEL)
        model = StoredModel(use.build()(signature), use, signature, {"labels": ["a", "b"]})
        save_model(self.folder, model)
        self.digests = {file: digest_file(file) for file in self.folder.iterdir()}

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def mutant(self, content: bytes, rng: random.Random) -> tuple[str, bytes]:
        self.structure = tensors.mutated if content[:1] != b"{" else documents.mutated
        return super().mutant(content, rng)

    def read(self, file: Path, same: bool) -> str:
        assert same or digest_file(file) != self.digests[file]
        try:
            load_model(self.folder)
        except Exception as error:
            return f"refused by its digest; the loader says {type(error).__name__}"
        return "refused by its digest" if not same else "read"


class TransformersFolder(Kept):
    """A classifier that transformers saved."""

    def make(self) -> None:
        furnish(self.folder)
        folder = self.folder / "my-vit"
        (folder / "preprocessor_config.json").write_text(
            '{"do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": true, '
            '"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}'
        )
        half = {"size": 64, "mean": (0.5,) * 3, "std": (0.5,) * 3}
        data = {"data": TASK["data"] | {"root": str(self.folder / "photos")}} | half  # type: ignore[operator]
        self.task = UseTask.model_validate(TASK | data).build()
        self.use = UseModel.model_validate({"kind": "pretrained", "folder": str(folder)})

    def files(self) -> list[Path]:
        return sorted((self.folder / "my-vit").iterdir())

    def mutant(self, content: bytes, rng: random.Random) -> tuple[str, bytes]:
        self.structure = tensors.mutated if content[:1] != b"{" else documents.mutated
        return super().mutant(content, rng)

    def read(self, file: Path, same: bool) -> str:
        if list(check_model(self.use, self.task, "model", taught=False)):
            return "refused by the plan"
        self.use.build()(self.task.signature())
        return "read"


KINDS: Mapping[str, type[Kept]] = {
    kind.__name__: kind
    for kind in (
        *(ManifestFile, SealedManifest, Plan, SealedPlan, KnownDigests, SealedDigests, RunRecord),
        *(CheckpointFile, NamedCheckpoint, Weights, Picture, IdxFile, StoredFile),
        TransformersFolder,
    )
}


def prepare(folder: Path) -> Try:
    """Return what tries one mutant; the kinds take turns."""
    torch.set_num_threads(1)
    list(kinds.model)
    kept = [kind(folder) for kind in KINDS.values()]
    assert len(kept) == KINDS_OF_FILES
    watch = Watch(folder)
    for one in kept:
        file = one.files()[0]
        came = answered(lambda one=one, file=file: one.read(file, True))
        assert came[1] == "read", (one, came)
        one.restore()

    def attempt(seed: int, number: int) -> Outcome:
        return kept[number % len(kept)].attempt(random.Random(f"{seed}/{number}"), watch)

    return attempt


if __name__ == "__main__":
    work(prepare)
