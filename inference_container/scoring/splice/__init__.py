"""Parquet output that copies its input's bytes and appends new column chunks and a new footer.

`SpliceSource.refusal` says when this is impossible; `SplicedWriter` does it. For the reasons see
docs/adr/0013-outputs-keep-the-inputs-bytes.md.
"""

from scoring.splice.prediction_chunks import SharedPartFiles
from scoring.splice.source import SpliceSource
from scoring.splice.spliced_writer import SplicedWriter, SpliceError

__all__ = ["SharedPartFiles", "SpliceError", "SpliceSource", "SplicedWriter"]
