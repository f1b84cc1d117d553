from base64 import b64encode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.bits import pack, unpack


@given(st.lists(st.booleans(), max_size=70))
def test_answers_come_back_and_are_packed_as_numpy_does(answers):
    assert unpack(pack(answers), len(answers)) == answers
    bits = np.packbits(np.array(answers, dtype=np.uint8)).tobytes()
    assert pack(answers) == b64encode(bits).decode()


@pytest.mark.parametrize(
    ("text", "count"), [("", 1), ("gA==", 0), ("gA==", 9), ("/w==", 7), ("?", 3), ("é", 3)]
)
def test_a_text_of_another_number_is_refused(text, count):
    assert unpack(text, count) is None
