"""Read the columns of a few objects that represent a dataset."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial

from contract.dataset.detection import FormatUnknownError
from contract.dataset.formats import extension_of
from contract.dataset.text_head import NoDataError
from contract.job.job_input import JobInput
from contract.job.scoring_spec import PinnedObject
from contract.problems import Problem
from lambdas.dataset.object_columns import ColumnsUnknownError, RecordMistakeError, object_columns
from lambdas.dataset.parquet_footer import Column
from lambdas.dataset.table_files import is_iceberg_file
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.observability import logger

_MAX_EXTENSIONS = 8
"""Largest number of extensions of a dataset of which an object is read."""
_MAX_CANDIDATES = 4
"""Largest number of objects read per extension until one has data."""
_MAX_EXTENSION_CHARACTERS = 10


@dataclass(frozen=True)
class Sample:
    """The columns of an object that represents others of its dataset."""

    key: str
    columns: tuple[Column, ...]
    is_iceberg: bool = False
    """Whether Iceberg has written the object."""


def sample_candidates(objects: Iterable[PinnedObject]) -> list[tuple[PinnedObject, ...]]:
    """Return the objects to read: for each extension, the first ones by key that have bytes.

    Objects with one extension usually have the same writer, so the first with data represents them.

    >>> names = ("b.csv", "a.csv", "000", "manifest.json")
    >>> [item[0].key for item in sample_candidates(PinnedObject(name, 1, "etag") for name in names)]
    ['000', 'a.csv', 'manifest.json']
    """
    by_extension: dict[str, list[PinnedObject]] = {}
    for item in sorted(objects, key=lambda item: item.key):
        if item.size:
            found = by_extension.setdefault(_extension(item.key), [])
            if len(found) < _MAX_CANDIDATES:
                found.append(item)
    return [tuple(found) for found in list(by_extension.values())[:_MAX_EXTENSIONS]]


def _extension(key: str) -> str:
    name = key.rpartition("/")[2]
    last = name[name.rfind(".") :].lower() if "." in name else ""
    return extension_of(key) or (last if len(last) <= _MAX_EXTENSION_CHARACTERS else "")


def read_sample(
    dataset: str, candidates: Sequence[PinnedObject], wanted: JobInput, store: ObjectStore
) -> Sample | Problem | None:
    """Return the columns of the first candidate that has data, or why its format is unknown.

    None means that the columns cannot be read here. The job that reads the whole object reports
    what is wrong.
    """
    for item in candidates:
        # Each range is read once.
        read = cache(partial(store.dataset_range, dataset, item))
        try:
            columns = object_columns(item, wanted, read)
        except NoDataError:
            continue
        except FormatUnknownError as error:
            expected = f"an object whose format is known: its name says none, {error.reason}"
            return Problem(f"dataset {dataset!r}: object key", item.key, expected, _sentence(error.remedy))
        except RecordMistakeError as error:
            return Problem(f"dataset {dataset!r}: object key", item.key, error.expected, _sentence(str(error)))
        except ColumnsUnknownError as error:
            # The key is not logged, because it may contain personal data.
            logger.debug("an object's columns cannot be read", dataset=dataset, reason=str(error))
            return None
        return Sample(item.key, columns, is_iceberg_file(item.size, read))
    return None


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
