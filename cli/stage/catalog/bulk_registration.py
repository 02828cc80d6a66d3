"""Registration of all of many models or of none: validated first, made current last."""

import collections
import contextlib
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cli.artifact_check.check import CheckedArtifact, check_artifact
from cli.documents.artifact import Artifact, fetch_artifact, hash_artifact
from cli.documents.bulk_file import BulkLine, LineProblem, merge_lines
from cli.documents.model_document import ModelDocument
from cli.failures import CommandError
from cli.stage.catalog.catalog import Catalog
from cli.stage.catalog.catalog_table import KnownModel, check_version_size
from cli.stage.catalog.stoppable_threads import check_stop, in_threads
from cli.stage.catalog.superseded import SetBack, SetBackError, find_set_back
from cli.stage.catalog.version_writes import NewVersion
from contract.catalog.model_spec import assumptions
from contract.catalog.models import Model, ModelVersion
from contract.problems import InvalidInputError, Problem

ModelCheck = Callable[[Iterable[ModelDocument], int], Mapping[str, Sequence[Problem]]]
"""Returns further problems of models, by model id. The number is the most that the documents can be."""

_THREADS = 16
"""Threads that check and store models, one per connection of a client."""

_MODELS_PER_READ = 50
"""Models that one thread reads from the catalog at a time: two keys each, in one request."""


@dataclass(frozen=True)
class _Checked:
    """A line with a valid artifact, and the equal version that the catalog has, if any."""

    line: BulkLine
    wanted: ModelVersion
    """The version to write, without its number."""
    known: KnownModel
    existing: ModelVersion | None
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
    check: ModelCheck = lambda documents, at_most: {},
    notice: Callable[[str], None] = lambda _: None,
    allow_backwards: bool = False,
) -> BulkResult:
    """Register every line and make its version current, or change nothing.

    First all artifacts are stored. Then the versions are written and made current, in transactions.
    An interruption leaves no version that is not current: the next run continues with the artifacts
    and versions that it finds. Paths are relative to the folder of `file`, which messages name.
    `check` returns further problems of models. It gets each one as soon as its artifact was checked;
    versions that exist already are not checked again.

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
            return NewVersion(document, item.existing, is_new=False, before=item.known.model)
        with fetch_artifact(document.artifact, file.parent, catalog.s3) as (path, _):
            artifact = None if path is None else hash_artifact(path)
            check_stop(stop)
            if artifact is None or artifact.sha256 != item.wanted.spec.artifact_sha256:
                raise CommandError(
                    f"line {item.line.number}: the artifact {document.artifact} changed while models were "
                    "being registered. No model was registered. Run the command again."
                )
            # A version that was written since it was read has its artifact stored under its name.
            version, _stored = catalog.store(document, item.wanted, artifact, item.known)
        return NewVersion(document, version, is_new=True, before=item.known.model)

    versions = list(in_threads(store, checked, _THREADS))
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
    check_models: ModelCheck,
) -> list[_Checked]:
    known = _read_models(catalog, lines)

    def check(line: BulkLine, stop: threading.Event) -> _Checked | list[LineProblem]:
        try:
            found, artifact = _check_artifact(catalog, line.document, file.parent, stop)
            of_model = known[line.document.model_id]
            wanted = found.document.model_version(
                found.document.version or "1",
                artifact.sha256,
                artifact.size,
                registered_by=registered_by,
                tags=found.document.tags_for(of_model.model),
            )
            check_version_size(wanted)
            existing = _find_existing(catalog, found.document, wanted, artifact, of_model)
            set_back = find_set_back(of_model.model, list(of_model.versions.values()), artifact.sha256, existing)
            notes = (*assumptions(wanted.spec), *found.notes)
            return _Checked(replace(line, document=found.document), wanted, of_model, existing, set_back, notes)
        except InvalidInputError as error:
            return _of_line(line, error.problems)

    checked: list[_Checked] = []
    problems: list[LineProblem] = []

    def new_documents() -> Generator[ModelDocument, None, None]:
        for result in in_threads(check, lines, _THREADS):
            if isinstance(result, list):
                problems.extend(result)
                continue
            checked.append(result)
            if result.existing is None:
                yield result.line.document

    # Closed, so that an error of `check_models` ends the checks of the other artifacts.
    with contextlib.closing(new_documents()) as documents:
        of_models = check_models(documents, len(lines))
        collections.deque(documents, maxlen=0)  # lines that `check_models` did not ask for are checked too
    for line, of_fleet in zip(lines, catalog.fleet_problems([line.document for line in lines]), strict=True):
        problems += _of_line(line, of_fleet)
    for item in checked:
        problems += _of_line(item.line, of_models.get(item.line.document.model_id, ()))
    if problems:
        raise InvalidInputError(file.name, merge_lines(problems))
    return checked


def _read_models(catalog: Catalog, lines: Sequence[BulkLine]) -> dict[str, KnownModel]:
    """Return what the catalog has of the lines' models, by id."""
    wanted = [(line.document.model_id, line.document.version or "1") for line in lines]
    parts = [wanted[start : start + _MODELS_PER_READ] for start in range(0, len(wanted), _MODELS_PER_READ)]
    found: dict[str, KnownModel] = {}
    for models in in_threads(lambda part, _: catalog.read_all(part), parts, _THREADS):
        found |= models
    return found


def _of_line(line: BulkLine, problems: Sequence[Problem]) -> list[LineProblem]:
    return [LineProblem(line.number, problem, line.document.model_id) for problem in problems]


def _check_artifact(
    catalog: Catalog, document: ModelDocument, folder: Path, stop: threading.Event
) -> tuple[CheckedArtifact, Artifact]:
    """Check a line's artifact.

    Raises:
        InvalidInputError: when the line cannot be registered with it.
    """
    with fetch_artifact(document.artifact, folder, catalog.s3) as (path, missing):
        if path is None:
            raise InvalidInputError("artifact", missing)
        check_stop(stop)
        found = check_artifact(path, document)
        if found.problems:
            raise InvalidInputError("artifact", found.problems)
        check_stop(stop)
        return found, hash_artifact(path)


def _find_existing(
    catalog: Catalog, document: ModelDocument, wanted: ModelVersion, artifact: Artifact, known: KnownModel
) -> ModelVersion | None:
    """Return the version that the document is already registered as, if any.

    Raises:
        InvalidInputError: when the document's version is another one, was deleted, or cannot be stored.
    """
    if document.version is None:
        current = "" if known.model is None else known.model.current_version
        alike = [version for version in known.versions.values() if _same(version, wanted)]
        return max(alike, key=lambda version: (version.spec.version == current, version.registered_at), default=None)
    taken = known.versions.get(document.version)
    if taken is not None and not _same(taken, wanted):
        expected = "a version that does not exist yet, or exists with the same artifact and record"
        raise InvalidInputError("version", [Problem("version", document.version, expected)])
    if gone := known.deleted.get(document.version):
        expected = f"a version that was never used (it was deleted at {gone.deleted_at}, and predictions may name it)"
        remedy = "Leave the version out to get the next free number."
        raise InvalidInputError("version", [Problem("version", document.version, expected, remedy)])
    if taken is None and (why := catalog.storage_problem(document, artifact)):
        raise InvalidInputError("version", [Problem("version", document.version, f"a version that is free ({why})")])
    return taken


def _same(version: ModelVersion, wanted: ModelVersion) -> bool:
    """Return whether two versions are equal apart from name, tags, and who registered them when."""
    spec = replace(wanted.spec, version=version.spec.version)
    when, who = version.registered_at, version.registered_by
    return version == replace(wanted, spec=spec, registered_at=when, registered_by=who, tags=version.tags)


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
