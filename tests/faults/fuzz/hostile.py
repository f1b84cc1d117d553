"""Values that files should not hold: each has broken a reader of something once."""

import json
import random
from pathlib import Path

CANARY = "canary"
"""A file beside the mutant that exists where something ran what the mutant says."""

_TOUCH = f"touch {CANARY}"
_OPEN = f"open({CANARY!r}, 'w')"
_IMPORT = "__import__"

TEXTS = (
    "",
    " ",
    "\n",
    "~",
    "~nobody-of-this-name/x",
    "$",
    "$$",
    "$ ",
    "$student.onnx",
    "${HOME}",
    f"$({_TOUCH})",
    f"`{_TOUCH}`",
    f"; {_TOUCH}",
    f"{{{{ {_IMPORT}('os').system('{_TOUCH}') }}}}",
    f"{_IMPORT}('os').system('{_TOUCH}')",
    f"{_OPEN}",
    "sentinel.py",
    "./sentinel.py",
    "sentinel",
    "../sentinel.py",
    "..",
    "../" * 40 + "etc/passwd",
    "/",
    "/dev/null",
    "/dev/zero",
    "/proc/self/mem",
    "/proc/self/environ",
    "a\0b",
    "a\0b.safetensors",
    "weights.safetensors",
    "x" * 300,
    "x" * 300 + ".safetensors",
    "x" * 5000,
    "x" * 100_000,
    "a/" * 3000,
    "%s%s%s%n",
    "%(name)s",
    "{0}",
    "{}",
    "{text}",
    "<use>",
    "<ref>",
    "options",
    "kind",
    "é",
    "e\u0301",
    "名前",
    "\u202egnp.exe",
    "\u200b",
    "\ufeff",
    "\u2028",
    "\x85",
    "\x1b[31mred",
    "\x7f",
    "😀",
    "\U0010ffff",
    "²",
    "١٢٣",
    "1",
    "1.0",
    "1e3",
    "0x10",
    "true",
    "null",
    "nan",
    "<= 1",
    "<= 1e999",
    "<= -1",
    ">= nan",
    "<=" + "9" * 5000,
    "__class__",
    "__init__",
    "model_fields",
    "model_config",
    "torch.nn",
    "os",
    "os.system",
    "CON",
    "[red]rich[/red]",
    "[/]",
    "http://127.0.0.1:9/",
    "file:///etc/passwd",
)
"""Strings, written in quotes."""

SCALARS = (
    "null",
    "~",
    "true",
    "false",
    "yes",
    "no",
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "3",
    "0.5",
    "1.5",
    "-0.5",
    "1e999",
    "-1e999",
    "1e-999",
    "1e308",
    "5e-324",
    ".nan",
    ".inf",
    "-.inf",
    ".",
    "-",
    "+",
    "0.",
    "1_000",
    "1__0",
    "_1",
    "0x",
    "0xFF",
    "-0x10",
    "0x" + "f" * 4500,
    "0o17",
    "017",
    "0b101",
    "0b",
    "190:20:30",
    "190:20:30.15",
    "9" * 19,
    "18446744073709551616",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "4294967296",
    "2147483648",
    "65536",
    "1000000",
    "1000000000",
    "9" * 400,
    "-" + "9" * 400,
    "9" * 4300,
    "9" * 5000,
    "2001-12-14",
    "2001-12-14t21:59:43.10-05:00",
    "99999-99-99",
    "=",
    "[]",
    "{}",
    "''",
    "[[]]",
    "[null]",
    "[{}]",
    "{a: b}",
    "{? [a, b] : c}",
    "{? {a: b} : c}",
    "{1: 2}",
    "{null: 1}",
    "{true: 1}",
    "{a: 1, a: 2}",
    "[1, 2, 3]",
    "[a, b]",
    "!!str 5",
    "!!int five",
    "!!int ''",
    "!!float x",
    "!!bool maybe",
    "!!null x",
    "!!binary aGVsbG8=",
    "!!binary '%%'",
    "!!timestamp x",
    "!!set {a, b}",
    "!!omap [a: 1]",
    "!!pairs [a: 1]",
    "!!seq {}",
    "!!map []",
    "!!str {a: b}",
    "!!int [1]",
    "!!float {}",
    "!!merge x",
    "!local x",
    "! x",
    "!<tag:yaml.org,2002:int> 5",
    "!<x> 5",
    "!unknown!x 5",
    "! !x",
    f"!!python/object/apply:os.system ['{_TOUCH}']",
    f"!!python/object/apply:builtins.open [{CANARY}, w]",
    f'!!python/object/apply:builtins.exec ["{_OPEN}"]',
    f"!!python/object/new:subprocess.Popen [['touch', '{CANARY}']]",
    f"!!python/object/apply:subprocess.check_output [[touch, {CANARY}]]",
    "!!python/name:os.system",
    "!!python/module:sentinel",
    "!!python/tuple [1]",
    f"{{!!python/name:os.system : '{_TOUCH}'}}",
    "*nothing",
    "&a *a",
    "&a [*a]",
    "&a {x: *a}",
    "&a {<<: *a}",
    "&a {<<: [*a, *a]}",
    "{<<: {<<: {<<: {a: 1}}}}",
    "{<<: 5}",
    "{<<: [5]}",
    "{<<: null}",
    "[<<]",
    "{<<: {kind: kd}, <<: {kind: kd}}",
    "@x",
    "`x`",
    "%x",
    '"\\x00"',
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    '"\\U00110000"',
    '"\\uD83D"',
    '"\\q"',
    '"unclosed',
    "'unclosed",
    "[unclosed",
    "{unclosed",
    "|\n  block",
    "|9\n x",
    ">-\n x",
    "? x",
    "- x",
    "a: b: c",
    "#",
    "---",
    "...",
    "%YAML 1.1",
    "\t",
    "[" * 40 + "]" * 40,
    "[" * 400 + "]" * 400,
    "{a: " * 50 + "1" + "}" * 50,
    "{a: " * 400 + "1" + "}" * 400,
)
"""YAML that stands where a value stands, written as it is."""

KEYS = (
    "options",
    "kind",
    "<use>",
    "<ref>",
    "<<",
    "",
    ".",
    "a.b",
    "[0]",
    "0",
    "null",
    "true",
    "=",
    "$student",
    "__class__",
    "model_config",
    "é",
    "\0",
    "x" * 200,
    "x" * 5000,
    "onnx",
    "../x",
    "a b",
    "-",
    "\x85",
)

ALIAS_BOMB = [
    "{a: &a [x, x, x, x, x, x, x, x, x]"
    + "".join(
        f", {after}: &{after} [{', '.join([f'*{before}'] * 9)}]"
        for before, after in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "}"
]
MERGE_BOMB = [
    "{a: &a {}"
    + "".join(
        f", {after}: &{after} {{<<: [{', '.join([f'*{before}'] * 9)}]}}"
        for before, after in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "}"
]


def scalar(rng: random.Random) -> str:
    """Return YAML of a hostile value."""
    if rng.random() < 0.01:
        return rng.choice(ALIAS_BOMB + MERGE_BOMB)
    return rng.choice(SCALARS) if rng.random() < 0.6 else quoted(rng.choice(TEXTS))


def near(value: object, rng: random.Random) -> str:
    """Return YAML of a value near a good one: another size, sign or type."""
    if isinstance(value, bool):
        return rng.choice(["true", "false", "0", "1", "'true'", "yes", "null"])
    if isinstance(value, int | float):
        factor = 10 ** rng.choice([1, 2, 3, 6, 9, 12, 18])
        close = [
            value + 1,
            value - 1,
            -value,
            0,
            value * factor,
            value / 3,
            float(value),
            2 * value,
        ]
        return rng.choice([*map(repr, close), f"'{value}'", f"[{value}]", f"{value}.", f"+{value}"])
    text = str(value)
    at = rng.randrange(len(text) + 1)
    choices = [
        text[:at] + text[at + 1 :],
        text[:at] + rng.choice(TEXTS) + text[at:],
        text.upper(),
        text + " ",
        text * 2,
        f"${text}",
        text.lstrip("$"),
        f"../{text}",
    ]
    return rng.choice([*map(quoted, choices), f"[{quoted(text)}]", f"{{kind: {quoted(text)}}}"])


def quoted(text: str) -> str:
    """Return a text as a YAML string, half of the time with its characters as they are."""
    return json.dumps(text, ensure_ascii=len(text) % 2 == 0)


def code(path: Path) -> None:
    """Write a Python file that leaves the canary where it is run."""
    path.write_text(f"from pathlib import Path\nPath(__file__).with_name('{CANARY}').touch()\n")
