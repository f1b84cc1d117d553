"""Static int8 in ONNX: quantize/dequantize pairs around every operator that can use them."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from edgekd.core.protocols.values import Batch
from edgekd.core.quantization import Int8Static
from edgekd.core.quiet import quiet
from edgekd.core.signature import Signature
from edgekd.runtimes.onnx_prepare import excluded_nodes, prepared


def quantize(
    model: Any,
    options: Int8Static,
    *,
    signature: Signature,
    calibration: Sequence[Batch],
    activation: Literal["uint8", "int8"],
) -> Any:
    """Return the model in int8, ranges taken from the calibration batches.

    Weights are signed and symmetric. RequestError where an excluded module has no node.
    """
    from onnxruntime import quantization as ort

    excluded = excluded_nodes(model, options.exclude)
    method = {
        "minmax": ort.CalibrationMethod.MinMax,
        "percentile": ort.CalibrationMethod.Percentile,
        "entropy": ort.CalibrationMethod.Entropy,
    }[options.calibration]
    symmetric = activation == "int8" if options.symmetric is None else options.symmetric
    with tempfile.TemporaryDirectory() as folder, quiet():
        ready = prepared(model, Path(folder))
        quantized = Path(folder) / "quantized.onnx"
        ort.quantize_static(
            ready,
            quantized,
            _reader(signature, calibration, by_row=options.calibration != "minmax"),
            quant_format=ort.QuantFormat.QDQ,
            per_channel=options.granularity == "channel",
            activation_type=ort.QuantType.QUInt8 if activation == "uint8" else ort.QuantType.QInt8,
            weight_type=ort.QuantType.QInt8,
            nodes_to_exclude=excluded,
            calibrate_method=method,
            extra_options={"ActivationSymmetric": symmetric},
        )
        return _load(quantized)


def _reader(signature: Signature, batches: Sequence[Batch], *, by_row: bool) -> Any:
    """Return a calibration reader; histograms want every feed to have one shape, hence rows.

    A program that takes so many examples and no other number is fed batches: they have that shape.
    """
    from onnxruntime.quantization import CalibrationDataReader

    feeds = _feeds(signature, batches, by_row=by_row)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            return next(feeds, None)

    return Reader()


def _feeds(
    signature: Signature, batches: Sequence[Batch], *, by_row: bool
) -> Iterator[dict[str, Any]]:
    leading = next(iter(signature.inputs[0].shape), None)
    for batch in batches:
        columns = {port.name: batch[port.name].cpu().numpy() for port in signature.inputs}
        if not by_row or not isinstance(leading, str):
            yield columns
            continue
        axes = {p.name: p.shape.index(leading) for p in signature.inputs if leading in p.shape}
        rows = len(columns[signature.inputs[0].name])
        for row in range(rows):
            yield {k: v.take([row], axes[k]) if k in axes else v for k, v in columns.items()}


def _load(path: Path) -> Any:
    import onnx

    return onnx.load(path)
