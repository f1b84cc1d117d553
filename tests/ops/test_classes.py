"""What is known of each class."""

import pytest
import torch

from edgekd.core.errors import StageError
from edgekd.ops.classes import check_seen


def test_classes_without_enough_examples_are_named():
    check_seen(torch.tensor([1, 2]), "ab")
    with pytest.raises(StageError, match="no training example is of class b, d: nothing can"):
        check_seen(torch.tensor([1.0, 0, 2, 0]), "abcd")
    with pytest.raises(StageError, match="fewer than 3 training examples are of class a, b"):
        check_seen(torch.tensor([1, 2, 3]), "abc", least=3)


def test_of_many_classes_the_first_five_are_named():
    with pytest.raises(StageError, match=r"class 0, 1, 2, 3, 4 \(and 2 more\)"):
        check_seen(torch.zeros(7), "0123456")
