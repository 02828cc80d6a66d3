"""Computes the number of rows per batch."""

from collections.abc import Sequence

from contract.catalog.model_fields import Feature
from contract.job.scoring_spec import DEFAULT_BATCH_ROWS
from scoring.columns.row_blocks import ROWS_PER_BLOCK
from scoring.columns.widths import decoded_width
from scoring.readers import InputObject

_BATCH_BYTES = 8 << 20
"""Memory of a default batch, in bytes: its columns and the feature matrix made of them."""
_MIN_ROWS = 256


def rows_per_batch(
    most: int, source: InputObject, columns: frozenset[str], features: Sequence[Feature], factor: int = 1
) -> int:
    """Return the rows per batch: at most `most`, and within `factor` default batches' memory.

    If `most` is below the default, because memory ran out, the memory is as much smaller.

    The result depends only on the object and the models, so that outputs are reproducible.
    """
    stored = source.stored_bytes()
    rows = source.rows or 0
    width = 8.0 * sum(feature.width for feature in features)
    for field in source.schema:
        if field.name in columns:
            width += decoded_width(field.type, stored.get(field.name, 0) / rows if rows else 0)
    # Whole blocks, because a batch that ends within one is copied for the model.
    memory = factor * _BATCH_BYTES * min(1.0, most / DEFAULT_BATCH_ROWS)
    fitting = int(memory / max(width, 1)) // ROWS_PER_BLOCK * ROWS_PER_BLOCK
    return max(min(most, _MIN_ROWS), min(most, fitting))
