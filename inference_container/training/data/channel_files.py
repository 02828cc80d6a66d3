"""The files of a data channel, compared with the objects that the plan pinned."""

from dataclasses import dataclass
from pathlib import Path

from contract.job.scoring_spec import PinnedObject
from scoring.errors import ConfigurationError, DataError
from scoring.job.input_files import files_below, find_input_files
from scoring.job_log.events import log_event

_SHOWN = 5
"""Problems listed in a message."""


@dataclass(frozen=True)
class LocalObject:
    """One object of the training data, as a file on this instance."""

    key: str
    path: Path
    size: int


@dataclass(frozen=True)
class Channel:
    """The objects of a channel, sorted by key, and the folder below which keys are paths."""

    root: Path
    objects: tuple[LocalObject, ...] = ()


def find_channel(folder: Path, dataset: str | None, pinned: tuple[PinnedObject, ...], field: str) -> Channel:
    """Return the pinned objects of a channel. Other files, and objects of 0 bytes, are logged and
    ignored.

    Raises:
        ConfigurationError: when the channel has files but the spec names no objects, or none of the
            files is of these objects.
        DataError: when an object is missing or has another size. A model of part of the data would
            look like a model of all of it.
    """
    channel = folder.name
    if dataset is None or not pinned:
        if unnamed := files_below(folder):
            raise ConfigurationError(
                f"channel {channel!r} has {len(unnamed)} files, but the training spec names no {field}: name them, or "
                "leave the channel out"
            )
        return Channel(folder)
    files = find_input_files(folder, dataset, pinned)
    found = set(files.objects)
    problems = []
    sources = []
    for item in sorted(pinned, key=lambda item: item.key):
        path = files.path(item)
        if item not in found:
            problems.append(f"object {item.key!r} is missing")
            continue
        size = path.stat().st_size
        if size != item.size:
            problems.append(f"object {item.key!r} has {size:,} bytes, the plan pinned {item.size:,}")
        if size == 0:
            log_event("file_ignored", channel=channel, file=item.key, reason="it holds no data (0 bytes)")
            continue
        sources.append(LocalObject(item.key, path, size))
    for other in files.others:
        log_event("file_ignored", channel=channel, file=other, reason="it is not in the training spec")
    if problems:
        more = f" and {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
        raise DataError(
            f"channel {channel!r} does not match the plan: {'; '.join(problems[:_SHOWN])}{more}. Objects were replaced "
            "or removed after the execution started, or the channel is sharded over instances: give it FullyReplicated "
            "data"
        )
    if not sources:
        raise DataError(
            f"channel {channel!r}: none of the {len(pinned):,} {field} holds data, all have 0 bytes: write the dataset "
            "again, or train on another one"
        )
    return Channel(files.root, tuple(sources))
