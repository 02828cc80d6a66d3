"""Find the tables among the listed objects, and the models that must not score all of their files."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from lambdas.dataset.table_files import FoundTable, find_tables, probe_tables
from lambdas.planning.scoring.assignments import Assignment
from lambdas.planning.scoring.upload_manifest import Uploads
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.buckets.stored_object import StoredObject

Refusing = Mapping[str, Sequence[str]]
"""The models that do not score every file of a table, by dataset."""


def refusing_models(assignments: Iterable[Assignment], uploads: Uploads | None) -> Refusing:
    """Return the models that a table's files must not reach.

    There are none when the request names the objects.
    """
    found: dict[str, list[str]] = {}
    for assignment in assignments if uploads is None or not uploads.names_objects else ():
        spec = assignment.version.spec
        if spec.input.table != "files":
            found.setdefault(assignment.dataset, []).append(assignment.name.partition(" version ")[0])
    return found


def tables_of(
    dataset: str, listing: Sequence[StoredObject], uploads: Uploads | None, refusing: Refusing, store: ObjectStore
) -> list[FoundTable]:
    """Return the tables that the listed objects belong to, as far as keys tell."""
    keys = [entry.key for entry in listing]
    if uploads is None:
        return find_tables(keys)
    # The listing has only the uploads.
    if dataset not in refusing:
        return []

    def list_all() -> Iterable[str]:
        return (entry.key for entry in store.dataset_objects(dataset))

    return probe_tables(keys, partial(store.first_keys, dataset), list_all)
