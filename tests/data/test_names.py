"""Many names in little memory."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.data.names import Names

NAME = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@given(st.lists(NAME, max_size=30))
def test_names_come_back(names):
    found = Names.of(names)
    assert list(found) == names
    assert len(found) == len(names)
    assert found[3:1:-1] == names[3:1:-1]
    assert not names or found[-1] == names[-1]


def test_there_is_no_name_beyond_the_last():
    with pytest.raises(IndexError):
        Names.of(["a"])[1]


def test_names_that_are_no_unicode_come_back():
    odd = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    assert list(Names.of([odd])) == [odd]


def test_names_are_taken_in_another_order():
    assert list(Names.of("abc").take(np.array([2, 0]))) == ["c", "a"]


def test_a_name_takes_its_letters_and_a_number():
    names = Names.of(f"class/{index:06}.png" for index in range(3000))
    taken = sum(array.nbytes for array in vars(names).values())
    assert (names[0], names[2999]) == ("class/000000.png", "class/002999.png")
    assert taken == 3000 * (16 + 8)
    assert taken < sum(map(sys.getsizeof, names)) / 2
