"""A recipe as people write it: `recipe.json`, and the training script in a folder or archive."""

import gzip
import hashlib
import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.documents.model_document import read_features, read_json_file
from contract.archives import list_files
from contract.codec import decode_fields
from contract.problems import InvalidInputError, Problem
from contract.tar_members import ArchiveError
from contract.training.recipes import MAX_CODE_BYTES, ModelRecipe

_ANY_SHA256 = "0" * 64
_SET_BY_COMMAND = ("updated_at", "updated_by")


@dataclass(frozen=True)
class RecipeDocument:
    """A recipe, and the archive of its training script if it has one."""

    recipe: ModelRecipe
    archive: bytes | None = None


def read_recipe(model_id: str, path: Path) -> RecipeDocument:
    """Read a recipe file. Its `code.source` is a folder or a tar.gz, relative to the file.

    Raises:
        InvalidInputError: with every problem.
    """
    fields: dict[str, Any] = read_json_file("recipe", path, dict)
    problems = [
        Problem(name, fields[name], "no value: the command sets it") for name in _SET_BY_COMMAND if name in fields
    ]
    if fields.get("model_id", model_id) != model_id:
        problems.append(Problem("model_id", fields["model_id"], f"{model_id!r}, the model of the command, or no value"))
    fields = {name: value for name, value in fields.items() if name not in _SET_BY_COMMAND} | {"model_id": model_id}
    if isinstance(fields.get("features"), str):
        fields["features"], found = read_features(fields["features"], path.parent)
        problems += found
    archive = None
    if isinstance(fields.get("code"), dict):
        archive, fields["code"], found = _read_code(fields["code"], path.parent)
        problems += found
    recipe, found = decode_fields(ModelRecipe, fields)
    problems += found
    if recipe is not None:
        problems += [*recipe.candidate.spec.check_output_columns(), *recipe.promotion_problems()]
    if recipe is None or problems:
        raise InvalidInputError(f"recipe of model {model_id}", problems)
    return RecipeDocument(recipe, archive)


def _read_code(code: dict[str, Any], folder: Path) -> tuple[bytes | None, dict[str, Any], list[Problem]]:
    """Return the archive, the record's field `code`, and the problems of both."""
    rest = {name: value for name, value in code.items() if name != "source"}
    stand_in = {**rest, "sha256": _ANY_SHA256, "bytes": 1}
    source = code.get("source")
    if not isinstance(source, str):
        return None, stand_in, [Problem("code.source", source, "the folder or tar.gz that holds the training script")]
    path = folder / Path(source).expanduser()
    try:
        archive = _pack(path) if path.is_dir() else _read_up_to(path, MAX_CODE_BYTES + 1)
    except (OSError, ValueError) as error:
        # A path with a NUL or half of a surrogate pair is a ValueError.
        expected = f"a folder or tar.gz that can be read ({error.strerror if isinstance(error, OSError) else error})"
        return None, stand_in, [Problem("code.source", str(path), expected)]
    problems = _check_archive(path, archive, code.get("program"))
    found = {**rest, "sha256": hashlib.sha256(archive).hexdigest(), "bytes": len(archive)}
    return archive, stand_in if problems else found, problems


def _check_archive(path: Path, archive: bytes, program: object) -> list[Problem]:
    if len(archive) > MAX_CODE_BYTES:
        remedy = "Leave out data and environments: the image has the libraries."
        expected = f"at most {MAX_CODE_BYTES:,} bytes, packed"
        return [Problem("code.source", f"{path} with more bytes", expected, remedy)]
    try:
        names = list_files(io.BytesIO(archive))
    except (ArchiveError, OSError) as error:
        return [Problem("code.source", str(path), f"a folder or a gzipped tar archive of plain files ({error})")]
    if isinstance(program, str) and program not in names:
        shown = ", ".join(sorted(names)[:10]) or "no files"
        return [Problem("code.program", program, f"a file of {path}, which holds {shown}")]
    return []


def _read_up_to(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _pack(folder: Path) -> bytes:
    """Return a folder as a tar.gz, or only its beginning if that has more than `MAX_CODE_BYTES`.

    The same files give the same bytes, so that setting a recipe again changes nothing.
    """
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted(folder.rglob("*")):
            if packed.tell() > MAX_CODE_BYTES:
                break
            if path.is_file() and "__pycache__" not in path.parts:
                with path.open("rb") as content:
                    member = tarfile.TarInfo(path.relative_to(folder).as_posix())
                    member.size = os.fstat(content.fileno()).st_size
                    archive.addfile(member, content)
    return packed.getvalue()
