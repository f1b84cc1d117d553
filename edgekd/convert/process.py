"""The process that opens a program of others to rewrite it: a bad file can harm nothing else.

    python -P -m edgekd.convert.process REQUEST.json

It confines itself before it opens the file, and prints one JSON object.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekd.convert.asking import Objection, Wanted, Written
from edgekd.core.apart import confine, serve

LONGEST = 600


def main() -> None:
    """Answer the request of the file that the command line names."""
    serve(answer)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return what was found, or the objection."""
    wanted = Wanted(**request["wanted"])
    name = Path(wanted.file).name
    if refused := confine(Path(wanted.file)):
        step = "Check that the file is whole."
        return {"objection": asdict(Objection("", f"{name} cannot be read: {refused}.", step))}
    from edgekd.convert.surveying import ObjectionError, surveyed

    try:
        if "written" not in request:
            surveyed(wanted)
            return {"found": {}}
        from edgekd.convert.rewriting import rewritten  # imports torch, which a survey needs not

        return {"found": rewritten(wanted, Written(**request["written"]))}
    except ObjectionError as error:
        return {"objection": asdict(error.objection)}
    except Exception as error:  # what onnx and its runtime raise over a file shares no ancestor
        reason = " ".join(str(error).split())[:LONGEST] or type(error).__name__
        return {"objection": asdict(Objection("", f"{name} cannot be rewritten: {reason}", STEP))}


STEP = (
    "Exclude the node that is named, if one is; ask for a higher opset; or simplify the file first "
    "(onnxsim, onnxslim)."
)


if __name__ == "__main__":
    main()
