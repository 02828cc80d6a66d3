"""Which outputs of a job have their checksum compared with the one that S3 computed."""

from typing import Literal

ComparedChecksums = Literal["sampled", "all"]
"""Setting of a stage: `sampled` compares all outputs of a job up to `MAX_SAMPLED`, and a sample beyond."""
MAX_SAMPLED = 20_000
"""Largest number of outputs per job whose checksums `sampled` compares."""
