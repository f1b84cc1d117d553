"""Static int8 of one network by edgekd, NNCF 3.4 and neural-compressor 3.10, side by side.

    apt-get install dataset-fashion-mnist
    for tool in nncf==3.4.0 "neural-compressor[pt]==3.10"; do
      venv=/tmp/${tool%%[[=]*}; python -m venv $venv
      $venv/bin/pip install torch==2.13.0 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2 "$tool"
    done
    python tests/benchmarks/bench_int8_tools.py --folder /tmp/int8 \\
      --nncf /tmp/nncf/bin/python --inc /tmp/neural-compressor/bin/python

All take the same 256 calibration pictures and the same weights, one thread. NNCF quantizes edgekd's
fp32 .onnx by its ONNX back-end, with its defaults for a CPU. neural-compressor 3.10 has no ONNX
back-end any more: it quantizes the PyTorch module by PT2E with its default static configuration,
and PyTorch exports that to ONNX. Everything is then run in edgekd's ONNX Runtime. The network is
trained once (two minutes of CPU time) and kept in the folder.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent / "int8_tools"
sys.path.insert(0, str(HERE))

from compare import print_programs  # noqa: E402  a folder beside this file
from network import prepare  # noqa: E402


def quantized(python: str, side: str, network: Path, folder: Path) -> Path:
    """Return the program that a tool makes of the network, in its own environment."""
    out = folder / f"{side.removesuffix('_side.py')}.onnx"
    command = [python, str(HERE / side), str(network), str(folder / "calibration.npy"), str(out)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=env, stdout=sys.stderr)
    return out


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the network is kept")
    parser.add_argument("--nncf", required=True, help="the interpreter that has NNCF")
    parser.add_argument("--inc", required=True, help="the interpreter that has neural-compressor")
    asked = parser.parse_args()
    shared = prepare(asked.folder)
    programs = {
        "edgekd": shared.int8,
        "NNCF 3.4.0": quantized(asked.nncf, "nncf_side.py", shared.onnx, shared.folder),
        "neural-compressor 3.10": quantized(asked.inc, "inc_side.py", shared.module, shared.folder),
        "fp32": shared.onnx,
    }
    print_programs(programs, shared)


if __name__ == "__main__":
    main()
