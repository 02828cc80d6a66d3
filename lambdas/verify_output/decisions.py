"""Whether a dataset is still the one that was pinned."""

from collections.abc import Iterable

from contract.job.scoring_spec import PinnedObject
from lambdas.stage.object_store import StoredObject


def replaced_objects(pinned: Iterable[PinnedObject], listing: Iterable[StoredObject]) -> tuple[str, ...]:
    """The pinned objects that are gone or other ones now, each with what changed. Objects that came later are fine."""
    now = {entry.key: entry for entry in listing}
    changed: list[str] = []
    for item in pinned:
        entry = now.get(item.key)
        if entry is None:
            changed.append(f"{item.key} (removed)")
        elif (entry.size, entry.etag) != (item.size, item.etag):
            changed.append(
                f"{item.key} ({item.size:,} bytes and ETag {item.etag}, now {entry.size:,} and {entry.etag})"
            )
    return tuple(changed)
