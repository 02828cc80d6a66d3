"""Set-up of all tests."""

import os
import signal

import pytest

from tests import fuzzing  # noqa: F401 - registers the Hypothesis profile of `make fuzz`

# Skips aws-cdk-lib's template validation, whose rules take seconds to load and only print warnings.
os.environ.setdefault("CDK_VALIDATION", "false")

# A shell that starts the tests in the background has them ignore these, and what they start ignores
# them too: tests that interrupt a program would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes are no name of a test: compressed ones hold the time, and the processes of a run must
    agree.
    """
    return argname if isinstance(val, bytes) else None
