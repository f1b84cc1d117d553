"""Programs of an encoder take texts of any length up to the signature's, and answer alike."""

import numpy as np
import pytest
import torch

from edgekd.core.refs import UseModel, UseRuntime
from edgekd.core.signature import Port, Signature

LENGTH = 12
BERT = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
SHAPE = ("batch", "sequence")
SIGNATURE = Signature(
    (Port("input_ids", "int64", SHAPE, 100), Port("attention_mask", "int64", SHAPE, 2)),
    (Port("logits", "float32", ("batch", 3)),),
    most=(("sequence", LENGTH),),
)


@pytest.fixture(scope="module")
def bert():
    torch.manual_seed(0)
    use = UseModel.model_validate({"kind": "pretrained", "config": BERT})
    return use.build()(SIGNATURE).eval()


def rows(texts, columns):
    ids = torch.randint(0, 100, (texts, columns), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(columns) < torch.arange(1, texts + 1)[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize(
    "runtime",
    [{"kind": "onnxruntime"}, {"kind": "executorch", "max_sizes": {"sequence": LENGTH}}],
    ids=lambda r: r["kind"],
)
def test_shorter_texts_are_answered_alike(bert, runtime, tmp_path):
    built = UseRuntime.model_validate(runtime).build()
    out = tmp_path / f"program{built.suffix}"
    built.export(
        bert,
        signature=SIGNATURE,
        samples=rows(4, LENGTH),
        metadata={},
        quantization=None,
        calibration=[],
        activation="uint8",
        out=out,
    )
    program = built.open(out)
    for texts, columns in ((4, LENGTH), (3, 5), (2, 1)):
        batch = rows(texts, columns)
        expected = bert(**batch).detach().numpy()
        found = program({name: column.numpy() for name, column in batch.items()})["logits"]
        np.testing.assert_allclose(found, expected, atol=1e-5)
