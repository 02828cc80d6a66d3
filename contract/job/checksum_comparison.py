"""Selection of the outputs whose checksum is compared with the one that S3 computed."""

from typing import Literal

ComparedChecksums = Literal["sampled", "all"]
"""Setting of a stage. `sampled` compares up to `MAX_SAMPLED` outputs, and a sample beyond."""
MAX_SAMPLED = 20_000
"""Largest number of outputs per job whose checksums `sampled` compares."""
