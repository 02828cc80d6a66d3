"""Registration of all of many models or of none: validated first, made current last."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cli.artifact_check.check import check_artifact
from cli.documents.artifact import fetch_artifact, hash_artifact
from cli.documents.bulk_file import BulkLine, LineProblem, merge_lines
from cli.documents.model_document import ModelDocument
from cli.failures import CommandError
from cli.stage.catalog.catalog import Catalog, NewVersion
from cli.stage.catalog.catalog_table import KnownModel, now
from cli.stage.catalog.superseded import SetBack, SetBackError, find_set_back
from contract.catalog.model_spec import assumptions
from contract.catalog.models import Model, ModelVersion
from contract.problems import InvalidInputError, Problem

_THREADS = 16
"""Threads that check and store models, one per connection of a client."""

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class _Checked:
    """A line with a valid artifact, and the equal version that the catalog has, if any."""

    line: BulkLine
    sha256: str
    size: int
    known: KnownModel
    existing: ModelVersion | None
    current: str
    """Name of the current version; empty if there is none."""
    set_back: SetBack | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class BulkResult:
    """Registered models, the numbers of new and of existing versions, and notes."""

    models: tuple[Model, ...]
    versions_written: int
    versions_found: int
    notes: Mapping[str, Sequence[int]]
    """The numbers of the lines that each note is about."""
    set_back: tuple[SetBack, ...] = ()
    """Models that were set back, because the caller has allowed it."""


def register_all(
    catalog: Catalog,
    lines: Sequence[BulkLine],
    file: Path,
    *,
    registered_by: str,
    check: Callable[[Sequence[ModelDocument]], Sequence[Sequence[Problem]]] = lambda documents: [()] * len(documents),
    notice: Callable[[str], None] = lambda _: None,
    allow_backwards: bool = False,
) -> BulkResult:
    """Register every line and make its version current, or change nothing.

    First all artifacts are stored. Then the versions are written and made current, in transactions.
    An interruption leaves no version that is not current: the next run continues with the artifacts
    and versions that it finds. Paths are relative to the folder of `file`, which messages name.
    `check` returns further problems of each model; versions that exist already are not checked
    again.

    Raises:
        InvalidInputError: with every problem of every line, before anything is written.
        SetBackError: when models would be set back, before anything is written, unless
            `allow_backwards`.
        CommandError: when concurrent changes of the same models do not stop.
    """
    notice(f"Models to check: {len(lines):,} ...")
    checked = _check(catalog, lines, file, registered_by, check)
    set_back = tuple(item.set_back for item in checked if item.set_back is not None)
    if set_back and not allow_backwards:
        raise SetBackError(set_back)
    new = [item for item in checked if item.existing is None]
    notice(f"Artifacts to store: {len(new):,}. Versions that exist already: {len(checked) - len(new):,} ...")

    def store(item: _Checked, stop: threading.Event) -> NewVersion:
        document = item.line.document
        if item.existing is not None:
            return NewVersion(document, item.existing, is_new=False, replaces=item.current)
        with fetch_artifact(document.artifact, file.parent, catalog.s3) as (path, _):
            artifact = None if path is None else hash_artifact(path)
            _check_stop(stop)
            if artifact is None or artifact.sha256 != item.sha256:
                raise CommandError(
                    f"line {item.line.number}: the artifact {document.artifact} changed while models were "
                    "being registered. No model was registered. Run the command again."
                )
            # A version that was written since it was read has its artifact stored under its name.
            version, _stored = catalog.store(document, artifact, item.known, registered_by)
        return NewVersion(document, version, is_new=True)

    versions = list(_in_threads(store, checked))
    notice(f"Registering {len(versions):,} versions and making them current ...")
    models = tuple(catalog.write_all(versions, changed_by=registered_by))
    notes: dict[str, list[int]] = {}
    for item in checked:
        for note in item.notes:
            notes.setdefault(note, []).append(item.line.number)
    return BulkResult(models, len(new), len(checked) - len(new), notes, set_back)


def _check(
    catalog: Catalog,
    lines: Sequence[BulkLine],
    file: Path,
    registered_by: str,
    check_models: Callable[[Sequence[ModelDocument]], Sequence[Sequence[Problem]]],
) -> list[_Checked]:
    def check(line: BulkLine, stop: threading.Event) -> _Checked | list[LineProblem]:
        try:
            return _check_line(catalog, line, file.parent, registered_by, stop)
        except InvalidInputError as error:
            return _of_line(line, error.problems)

    checked: list[_Checked] = []
    problems: list[LineProblem] = []
    for result in _in_threads(check, lines):
        if isinstance(result, _Checked):
            checked.append(result)
        else:
            problems += result
    for line, of_fleet in zip(lines, catalog.fleet_problems([line.document for line in lines]), strict=True):
        problems += _of_line(line, of_fleet)
    new = [item.line for item in checked if item.existing is None]
    for line, found in zip(new, check_models([line.document for line in new]), strict=True):
        problems += _of_line(line, found)
    if problems:
        raise InvalidInputError(file.name, merge_lines(problems))
    return checked


def _of_line(line: BulkLine, problems: Sequence[Problem]) -> list[LineProblem]:
    return [LineProblem(line.number, problem, line.document.model_id) for problem in problems]


def _check_line(catalog: Catalog, line: BulkLine, folder: Path, registered_by: str, stop: threading.Event) -> _Checked:
    """Check a line's artifact and record, and find the version that it is already registered as.

    Raises:
        InvalidInputError: when the line cannot be registered.
    """
    with fetch_artifact(line.document.artifact, folder, catalog.s3) as (path, missing):
        if path is None:
            raise InvalidInputError("artifact", missing)
        _check_stop(stop)
        found = check_artifact(path, line.document)
        if found.problems:
            raise InvalidInputError("artifact", found.problems)
        _check_stop(stop)
        artifact = hash_artifact(path)
    document = found.document
    known = catalog.read_with_deleted(document.model_id)
    before, existing = known.model, known.versions
    # Refuses a record that is too large.
    wanted = document.model_version(
        document.version or "1",
        artifact.sha256,
        artifact.size,
        registered_at=now(),
        registered_by=registered_by,
        tags=document.tags_for(before),
    )
    taken = existing.get(document.version or "")
    current = "" if before is None else before.current_version
    if document.version is None:
        alike = [version for version in existing.values() if _same(version, wanted)]
        taken = max(alike, key=lambda known: (known.spec.version == current, known.registered_at), default=None)
    elif taken is not None and not _same(taken, wanted):
        expected = "a version that does not exist yet, or exists with the same artifact and record"
        raise InvalidInputError("version", [Problem("version", document.version, expected)])
    elif gone := known.deleted.get(document.version):
        expected = f"a version that was never used (it was deleted at {gone.deleted_at}, and predictions may name it)"
        remedy = "Leave the version out to get the next free number."
        raise InvalidInputError("version", [Problem("version", document.version, expected, remedy)])
    elif taken is None and (why := catalog.storage_problem(document, artifact)):
        raise InvalidInputError("version", [Problem("version", document.version, f"a version that is free ({why})")])
    notes = (*assumptions(wanted.spec), *found.notes)
    set_back = find_set_back(before, list(existing.values()), artifact.sha256, taken)
    return _Checked(
        replace(line, document=document), artifact.sha256, artifact.size, known, taken, current, set_back, notes
    )


def _same(version: ModelVersion, wanted: ModelVersion) -> bool:
    """Return whether two versions are equal apart from name, tags, and who registered them when."""
    spec = replace(wanted.spec, version=version.spec.version)
    when, who = version.registered_at, version.registered_by
    return version == replace(wanted, spec=spec, registered_at=when, registered_by=who, tags=version.tags)


def _in_threads(function: Callable[[A, threading.Event], B], items: Iterable[A]) -> Iterator[B]:
    """Call the function for each item. Its event is set after the first error and after Ctrl-C."""
    stop = threading.Event()
    with ThreadPoolExecutor(_THREADS) as threads:
        try:
            yield from threads.map(partial(_with_event, function, stop), items)
        except BaseException:
            # Queued items are not started, and running ones end at their next step.
            stop.set()
            threads.shutdown(cancel_futures=True)
            raise


def _with_event(function: Callable[[A, threading.Event], B], stop: threading.Event, item: A) -> B:
    _check_stop(stop)
    return function(item, stop)


def _check_stop(stop: threading.Event) -> None:
    """End a thread whose result nobody waits for.

    Raises:
        CommandError: when the event is set.
    """
    if stop.is_set():
        raise CommandError("The registration was interrupted. Run the command again to continue.")


def bulk_json(result: BulkResult) -> dict[str, Any]:
    return {
        "models": [{"model_id": model.model_id, "current_version": model.current_version} for model in result.models],
        "versions_written": result.versions_written,
        "versions_found": result.versions_found,
        "set_back": set_back_json(result.set_back),
        "notes": [{"note": note, "lines": lines} for note, lines in result.notes.items()],
    }


def set_back_json(models: Sequence[SetBack]) -> list[dict[str, Any]]:
    return [asdict(model) for model in models]
