"""Prints what an ONNX file takes and gives as one JSON object, under limits.

    python3 -s -E describe_onnxruntime.py MODEL.onnx SECONDS MEMORY_MIB

Reading a file that somebody else made can crash the runtime or keep it busy for ever: this process
may, the one that asked goes on. Exit status 3 says that the last line of the error stream is what
the runtime objected.
"""

import contextlib
import json
import os
import resource
import sys

REFUSED = 3


def limit(kind, most):
    """Lower a limit of this process, as far as the system knows it."""
    with contextlib.suppress(ValueError, OSError):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, hard))


def described(path):
    """Return the inputs and outputs of a file; its graph is left as it is."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    ends = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    return {
        end: [{"name": p.name, "type": p.type, "shape": p.shape} for p in ports]
        for end, ports in ends.items()
    }


def main():
    """Describe the file named on the command line."""
    path, seconds, memory_mib = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_CPU, seconds)
    if memory_mib:
        limit(resource.RLIMIT_AS, memory_mib * 2**20)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the runtime prints is no answer
    try:
        found = described(path)
    except Exception as error:  # ONNX Runtime's exceptions share no other ancestor
        print(" ".join(f"{error}".split()) or type(error).__name__, file=sys.stderr)
        sys.exit(REFUSED)
    print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
