"""Settings of all tests."""

import gc
import os
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest

from embedded.requests.constraints import check_clients

# Skips aws-cdk-lib's template validation, whose rules take seconds to load and only print warnings.
os.environ.setdefault("CDK_VALIDATION", "false")
# Reuse the unpacked aws-cdk-lib in tests with another home: unpacking it takes most of a synthesis's time.
os.environ.setdefault("JSII_RUNTIME_PACKAGE_CACHE_ROOT", str(Path.home() / ".cache" / "aws" / "jsii" / "package-cache"))
# Idle threads of OpenMP and OpenBLAS take the cores from other processes otherwise. Libraries read this when loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

# A shell that starts the tests in the background makes them ignore these signals, and child
# processes inherit that. Tests that interrupt a child process would then wait forever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Python's own thresholds scan all libraries' objects so often that it takes a fifth of the tests' CPU time.
gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish() -> None:
    """Exclude modules and collected tests from garbage collection."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Return an id for a parameter of type bytes; None leaves the id to pytest.

    Compressed bytes contain the time, and the processes of pytest-xdist must use the same ids.
    """
    return argname if isinstance(val, bytes) else None


def pytest_configure() -> None:
    """Refuse every request of a test that violates botocore's model of the service.

    The frameworks' tests run in an environment without botocore.
    """
    if find_spec("botocore"):
        check_clients()
