"""Parquet output that keeps its input's bytes: they are copied, and new column chunks and a new footer follow.

`SpliceSource.refusal` says by rule when this cannot be done, `SplicedWriter` does it. Why, and when not:
docs/adr/0013-outputs-keep-the-inputs-bytes.md
"""

from scoring.splice.source import SpliceSource
from scoring.splice.spliced_writer import SplicedWriter, SpliceError

__all__ = ["SpliceError", "SpliceSource", "SplicedWriter"]
