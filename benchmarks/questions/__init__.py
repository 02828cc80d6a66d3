"""One program per benchmark question: `python -m benchmarks.questions.<name>`."""

import shutil
import sys
from collections.abc import Sequence


def with_spark(contenders: Sequence[str], spark: str) -> list[str]:
    """Return the contenders and, if this machine has Java, Spark."""
    if shutil.which("java"):
        return [*contenders, spark]
    print("Spark is skipped: this machine has no Java (17 or newer is needed).", file=sys.stderr)
    return list(contenders)
