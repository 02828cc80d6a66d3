import doctest
from types import ModuleType

import pytest

from scoring import errors, protocol
from scoring.columns import bisection
from scoring.worker import partial_predictions


@pytest.mark.parametrize("module", [errors, protocol, bisection, partial_predictions])
def test_docstring_examples_give_what_they_show(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.failed == 0
    assert results.attempted
