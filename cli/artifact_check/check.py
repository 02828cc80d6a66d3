"""Checks an artifact against its model's record, without running the model."""

import posixpath
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from cli.artifact_check.file_kinds import is_accepted, kind_of, remedy_of
from cli.artifact_check.image_packages import has_module, library_version
from cli.artifact_check.stated_versions import Stated, read_stated
from cli.documents.artifact import check_model_file, unreadable_artifact
from cli.documents.model_document import ModelDocument
from contract.archives import Member, list_files
from contract.catalog.framework_versions import LIBRARY_NAMES, note_of, refusal_of, version_numbers
from contract.catalog.image_variants import image_of
from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT
from contract.control_characters import replace_control_characters
from contract.problems import Problem
from contract.tar_members import ArchiveError

_MAX_FILE_BYTES = 4 << 30
"""Largest model file that is inspected."""
_IN_MEMORY_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_SHOWN_NAMES = 5
_CUSTOM_CODE = "docs/learn/custom-code.md"


@dataclass(frozen=True)
class CheckedArtifact:
    """A document after its artifact was checked, with problems and notes."""

    document: ModelDocument
    """With the framework version that the file states, if the record has none."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def check_artifact(path: Path, document: ModelDocument) -> CheckedArtifact:
    """Check an archive that should hold the document's model.

    The whole archive is read, to find damage.
    """
    wanted = posixpath.normpath(document.model_file)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as copy:

        def keep(member: Member) -> None:
            if member.name == wanted and member.size <= _MAX_FILE_BYTES:
                while chunk := member.content.read(_CHUNK_BYTES):
                    copy.write(chunk)

        try:
            files = list(list_files(path, on_file=keep))
        except (ArchiveError, OSError) as error:
            return CheckedArtifact(document, (unreadable_artifact(path, error),))
        if problems := check_model_file(document.model_file, files):
            return CheckedArtifact(document, tuple(problems))
        # Custom code may load any file, with classes that it ships.
        if document.custom_code or copy.tell() == 0:
            return CheckedArtifact(document)
        return _check_file(document, copy)


def _check_file(document: ModelDocument, copy: IO[bytes]) -> CheckedArtifact:
    file = cast("Any", copy)
    kind = kind_of(file)
    if not is_accepted(document.format, kind):
        expected = f"the format of the model's file, which is {kind}"
        return CheckedArtifact(document, (Problem("format", document.format, expected, remedy_of(kind)),))
    stated = read_stated(document.format, file)
    document, problems, notes = _check_versions(document, stated)
    more_problems, more_notes = _check_modules(document, stated)
    if document.format == "sklearn-joblib" and stated.compression == "lz4":
        more_notes.append("the file is compressed with LZ4, which the image cannot read: dump it with compress=3")
    shown = (replace_control_characters(note) for note in (*notes, *more_notes))
    return CheckedArtifact(document, (*problems, *more_problems), tuple(shown))


def _check_versions(document: ModelDocument, stated: Stated) -> tuple[ModelDocument, list[Problem], list[str]]:
    framework = FRAMEWORK_OF_FORMAT[document.format]
    name, ours = LIBRARY_NAMES.get(framework, ""), library_version(framework)
    notes = [f"the file was written by {library} {_listed(versions)}" for library, versions in stated.versions.items()]
    found = sorted(stated.versions.get(name, ()), key=version_numbers)
    pinned = document.framework_version
    if pinned and found and not any(_same(pinned, version) for version in found):
        expected = f"{_listed(found)}, which the file states"
        remedy = "Leave framework_version out, so that it is read from the file."
        return document, [Problem("framework_version", pinned, expected, remedy)], notes
    if not pinned and len(found) == 1:
        document = replace(document, framework_version=found[0])
        notes = [f"framework_version is {found[0]}, which the file states"]
    for version in [pinned] if pinned else found:
        if why := refusal_of(framework, version, ours):
            major = version_numbers(ours)[0]
            expected = f"a version that the image's {name} {ours} reads; {why}"
            remedy = f"Train it with {name} {major}.x, or export it as ONNX."
            return document, [Problem("framework_version", version, expected, remedy)], notes
        if note := note_of(framework, version, ours):
            notes.append(f"{note}, as every job of it will note")
    return document, [], notes


def _check_modules(document: ModelDocument, stated: Stated) -> tuple[list[Problem], list[str]]:
    """Return what is known about classes that the image lacks."""
    problems: list[Problem] = []
    notes: list[str] = []
    if names := stated.globals.get("__main__"):
        expected = (
            "no class or function of __main__: the script that pickled the model defined it, and a job does not run "
            "that script"
        )
        remedy = (
            "Move it to a module, import it in the script, train again, and ship the module in the artifact's code/ "
            f"with custom_code ({_CUSTOM_CODE})."
        )
        problems.append(Problem("model_file", f"{document.model_file} with {_listed(names)}", expected, remedy))
    variant = image_of(FRAMEWORK_OF_FORMAT[document.format], document.accelerator)
    for package, used in _missing(stated.globals, lambda module: has_module(variant, module)).items():
        notes.append(
            f"the file needs {_listed(used)}, and the image {variant!r} has no module {package!r}: a job will fail "
            f"unless your image has it; ship the module in the artifact's code/ with custom_code ({_CUSTOM_CODE})"
        )
    return problems, notes


def _missing(named: Mapping[str, set[str]], has: Any) -> dict[str, list[str]]:
    missing: dict[str, list[str]] = {}
    for module, names in sorted(named.items()):
        if module and module != "__main__" and not has(module):
            missing.setdefault(module.partition(".")[0], []).extend(f"{module}.{name}" for name in sorted(names))
    return missing


def _same(pinned: str, stated: str) -> bool:
    ours, theirs = version_numbers(pinned), version_numbers(stated)
    return not ours or ours == theirs[: len(ours)] or theirs == ours[: len(theirs)]


def _listed(names: Any) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _SHOWN_NAMES:,} more" if len(ordered) > _SHOWN_NAMES else ""
    return ", ".join(ordered[:_SHOWN_NAMES]) + more
