"""What to rewrite in a module that cannot be exported, from what the exporter objects."""

import re

CAUSES = (
    (
        r"_local_scalar_dense|\.item\(|specialized integer from data|TruncToInt|GuardOnDataDep|"
        r"data-dependent expression",
        "A Python decision or number is made of a tensor's values: `if`, `while`, `int()`, "
        "`.item()`. Write torch.where(condition, a, b) for a choice, torch.cond or a fixed number "
        "of steps for a loop, and take sizes from x.shape, never from values.",
    ),
    (
        r"\.numpy\(\)|Cannot convert .* to numpy|np\.ndarray",
        "Values leave PyTorch for numpy or plain Python. Write the same with torch operators.",
    ),
    (
        r"complex(64|128)|view_as_complex|ComplexFloat",
        "There are no complex numbers in such programs. Keep real and imaginary parts as two "
        "tensors: a rotation is x * cos - y * sin and x * sin + y * cos.",
    ),
    (
        r"No ONNX function found for|not in Core ATen opset|Missing out variants|"
        r"No decompositions registered|Unsupported operator|UnsupportedOperator",
        "The operator {operator} has no counterpart there. Write it with simpler operators, try "
        "a higher opset, or leave it out of forward() and do it after the program.",
    ),
    (
        r"Constraints violated|marked .* as dynamic but|specialized (it )?to (be )?a constant",
        "The code fixes a size that shall vary. Write x.shape[0] or -1 where a number stands, in "
        "reshape, view, expand and in buffers made for one size.",
    ),
    (
        r"in-?place|view .* modified|mutat|set_\b|copy_\b",
        "A tensor is written into while another looks at it. Make a new one: torch.cat, "
        "torch.where, index_put, or `y = x + 1` for `x += 1`.",
    ),
    (
        r"was assigned during export|side effect|attribute .* assigned|global",
        "forward() keeps something on the module or in a global. Return it as an output, or make "
        "it a registered buffer that is not changed.",
    ),
    (
        r"Dynamo|torch\._dynamo|graph break|Unsupported",
        "Python that cannot be followed: a library's own code, try/except, printing, or objects "
        "made in forward(). Keep to torch operators and plain control flow there.",
    ),
)
ELSE = "Avoid Python control flow that depends on tensor values in its forward()."
OPERATOR = re.compile(r"aten[.:]+(\w+)")


def advice(objection: str) -> str:
    """Return what to rewrite; where nothing is known of the objection, the usual cause."""
    for pattern, text in CAUSES:
        if re.search(pattern, objection):
            operator = OPERATOR.search(objection)
            return text.format(operator=operator[0] if operator else "it uses")
    return ELSE


def in_short(objection: str) -> str:
    """Return the one line of an exporter's words that says what it objects."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", objection)
    lines = [line.strip() for line in plain.split("\n") if line.strip()]
    after = next((i for i, line in enumerate(lines) if "Exception summary" in line), -1)
    said = lines[after + 1 :] or lines or ["nothing"]
    return said[0]
