"""A file that shows, run on its own, which part of a model cannot be exported."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from edgekd.core.refs import UseRuntime, as_written
from edgekd.localise.advice import in_short
from edgekd.localise.case import own_code
from edgekd.localise.failing import Failing
from edgekd.models.folder import StoredModel, apart, settled

WEIGHT, INPUT = "weight/", "input/"
TEXT = '''"""Module '{path}' ({kind}) cannot be exported by {runtime}.

    python {file}

{objection}
{line}
What to rewrite: {advice}

The numbers beside this file are the module's weights and the inputs that it had in the model.
"""

import json
from pathlib import Path

from safetensors.torch import load_file

from edgekd.core.refs import UseModel, UseRuntime, as_read
from edgekd.core.registry import load_user_module
from edgekd.core.signature import Signature
from edgekd.models.weights import load_resized

MODEL = {model}
SIGNATURE = {signature}
RUNTIME = {options}
OWN_CODE = {own_code}

if OWN_CODE:
    load_user_module(Path(OWN_CODE).name, Path(OWN_CODE).parent)
stored = load_file(Path(__file__).with_suffix(".safetensors"))
weights = {{name[7:]: stored[name] for name in stored if name.startswith("weight/")}}
tensors = {{name[6:]: stored[name] for name in stored if name.startswith("input/")}}
signature = Signature.from_dict(json.loads(SIGNATURE))
model = UseModel.model_validate(as_read(json.loads(MODEL))).build()(signature)
module = model.get_submodule({path!r})
load_resized(module, weights)
inputs = {inputs}

UseRuntime.model_validate(as_read(json.loads(RUNTIME))).build().try_export(module.eval(), inputs)
print("It was exported: what failed was mended.")
'''


def write_reproduction(
    out: Path, failing: Failing, stored: StoredModel, runtime: UseRuntime, advice: str
) -> None:
    """Write the file and, beside it under the same stem, weights and inputs.

    The model is built from its definition, so that it takes edgekd and, for a model of the user's
    own, the file that defines it, but neither the store nor the pipeline.
    """
    tensors: dict[str, Tensor] = {}
    inputs = _source(dict(failing.inputs), "", tensors)
    weights = {f"{WEIGHT}{k}": v for k, v in apart(failing.module.state_dict()).items()}
    given = {f"{INPUT}{k}": v for k, v in apart(tensors).items()}
    save_file(weights | given, out.with_suffix(".safetensors"))
    text = TEXT.format(
        path=failing.path,
        kind=type(failing.module).__name__,
        runtime=runtime.kind,
        file=out.name,
        objection=_quoted(in_short(str(failing.error))),
        line=_quoted(failing.line),
        advice=advice,
        model=repr(json.dumps(as_written(settled(stored)))),
        signature=repr(json.dumps(stored.signature.as_dict())),
        options=repr(json.dumps(as_written(runtime))),
        own_code=repr(own_code(stored)),
        inputs=inputs,
    )
    out.write_text(text, "utf-8")


def _quoted(text: str) -> str:
    """Return a text that may stand in a docstring."""
    return text.replace("\\", "/").replace('"""', "'''")


def _source(value: Any, path: str, tensors: dict[str, Tensor]) -> str:
    """Return a value as Python source; its tensors go to `tensors` under their paths."""
    if isinstance(value, Tensor):
        tensors[path] = value
        return f"tensors[{path!r}]"
    if isinstance(value, Mapping):
        parts = (
            f"{k!r}: {_source(v, f'{path}.{k}'.lstrip('.'), tensors)}" for k, v in value.items()
        )
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, list | tuple):
        items = [_source(item, f"{path}.{index}", tensors) for index, item in enumerate(value)]
        return (
            f"[{', '.join(items)}]"
            if isinstance(value, list)
            else f"({''.join(f'{i}, ' for i in items)})"
        )
    return repr(value)
