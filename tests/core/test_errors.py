"""What a user reads, whatever the file says that it quotes."""

from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.errors import Problem, RequestError

CONTROLS = st.text(st.characters(codec="utf-8", categories=["Cc", "L", "N", "Zl", "Zp"]))


@given(text=CONTROLS)
def test_a_message_moves_no_cursor(text):
    shown = str(Problem(text, text, text, text))
    assert not [c for c in shown if c != "\n" and not c.isprintable()]


def test_plain_words_stay_as_they_are():
    assert str(Problem("a.b", "größer als 名前.", "Do\nthis.", "f.yaml:3")) == (
        "f.yaml:3: a.b\n  größer als 名前.\n  Do\n  this."
    )


def test_a_line_without_end_is_cut():
    assert len(str(Problem("", "x" * 10**6))) <= 1000


def test_very_many_problems_are_counted():
    text = str(RequestError(Problem("", f"problem {n}.") for n in range(1000)))
    assert "problem 49." in text
    assert "problem 50." not in text
    assert "950 more" in text
