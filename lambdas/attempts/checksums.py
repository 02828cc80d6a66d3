"""Choose the outputs whose CRC64NVME is read from S3, and read it in the time that is left."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.job.checksum_comparison import MAX_SAMPLED, ComparedChecksums
from lambdas.stage.time_left import time_left

_GOLDEN_RATIO = 0.6180339887498949
_SECONDS_AFTERWARDS = 60.0
_SECONDS_PER_COMMIT = 0.0002
"""Time to leave for the rest of the step: reading the ledger, and writing the job's record."""


@dataclass(frozen=True)
class ChecksumRules:
    """How many checksums a step compares."""

    compared: ComparedChecksums
    seconds_left: Callable[[], float]
    """Returns the time until the function is stopped."""

    @classmethod
    def until_timeout(cls, compared: ComparedChecksums, context: LambdaContext) -> "ChecksumRules":
        """Return the rules of a step that runs in a function."""
        return cls(compared, time_left(context))

    @classmethod
    def without_checksums(cls) -> "ChecksumRules":
        """Return the rules of a step that compares sizes only."""
        return cls("sampled", lambda: 0.0)

    def choose(self, outputs: int, commits: int) -> Iterator[int]:
        """Yield the numbers of the outputs to compare, while there is time. Each is less than `outputs`.

        Every beginning of them is spread evenly over the outputs, and the same for each call.
        """
        reserved = _SECONDS_AFTERWARDS + commits * _SECONDS_PER_COMMIT
        chosen = outputs if self.compared == "all" else min(outputs, MAX_SAMPLED)
        step = max(1, round(outputs * _GOLDEN_RATIO))
        while gcd(step, outputs) > 1:
            step += 1
        for number in range(chosen):
            if self.seconds_left() < reserved:
                return
            yield number * step % outputs


@dataclass
class ChecksumCounts:
    """How many outputs were compared with what."""

    outputs: int = 0
    compared: int = 0
    """Outputs whose CRC64NVME S3 has."""
    without: int = 0
    """Outputs for which S3 has another checksum, one per part, or none."""

    def notes(self, rules: ChecksumRules) -> list[str]:
        """Return the notes for the job's record; none if all outputs were compared."""
        notes = []
        if self.without:
            asked = self.compared + self.without
            notes.append(
                f"S3 has no CRC64NVME of {self.without:,} of {asked:,} outputs, so only their sizes were compared"
            )
        if skipped := self.outputs - self.compared - self.without:
            why = (
                "because the function's time was running out"
                if rules.compared == "all" or self.compared + self.without < MAX_SAMPLED
                else "because the setting compared_checksums is not 'all'"
            )
            notes.append(f"only the sizes of {skipped:,} of {self.outputs:,} outputs were compared, {why}")
        return notes
