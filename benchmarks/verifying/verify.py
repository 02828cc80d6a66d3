"""Verify one job in this process, as the function VerifyOutput does, and write down what it took.

Its environment has the variables of the function. The argument is the file for the `Usage`.
"""

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.verifying.job import EXECUTION_ID, JOB_ID
from contract.workflow.messages import VerifyInput
from lambdas.attempts.checksums import ChecksumRules
from lambdas.stage.resources import resources
from lambdas.verify_output.verify import verify_output

_TIMEOUT_SECONDS = 900.0


@dataclass(frozen=True)
class Usage:
    """What a verification took."""

    cpu: float
    """CPU time of the step, without the start of the process, in seconds."""
    wall: float
    peak_bytes: int
    """Largest resident memory of the process."""


def main() -> None:
    deployment, compared = resources().deployment, resources().compared_checksums
    cpu, wall = time.process_time(), time.perf_counter()
    # The function has one processor, so its time is at least the CPU time.
    rules = ChecksumRules(compared, lambda: _TIMEOUT_SECONDS - (time.process_time() - cpu))
    verify_output(VerifyInput(EXECUTION_ID, JOB_ID, 1), deployment, rules)
    usage = Usage(
        cpu=time.process_time() - cpu,
        wall=time.perf_counter() - wall,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024,
    )
    Path(sys.argv[1]).write_text(json.dumps(asdict(usage)))


if __name__ == "__main__":
    main()
