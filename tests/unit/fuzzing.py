"""Number of examples of property tests: few in `make test`, many in `make fuzz`."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

FUZZ_PROFILE = "fuzz"
"""The Hypothesis profile of `make fuzz`, chosen by `pytest --hypothesis-profile=fuzz`."""

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A busy machine is no fault of a test. `--hypothesis-profile` is read after this.
settings.load_profile("patient")
settings.register_profile(FUZZ_PROFILE, print_blob=True)


def examples(*, quick: int, fuzz: int, derandomize: bool = False) -> Callable[[Any], Any]:
    """Return a decorator that sets a property test's number of examples.

    The decorator goes above `@given`. With `derandomize`, every run generates the same examples.
    """
    is_fuzzing = settings.get_current_profile_name() == FUZZ_PROFILE
    chosen = settings(
        max_examples=fuzz if is_fuzzing else quick,
        deadline=None,
        derandomize=derandomize,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: pytest.mark.fuzz(chosen(test))
