"""Building of an image's folder and settings from a Dockerfile, without Docker.

Supported are `FROM` with earlier stages, `ARG`, `ENV`, `LABEL`, `WORKDIR`, `COPY` of named files
and folders, and `ENTRYPOINT` and `CMD` in exec form. `RUN` and `USER` are skipped: processes use
the libraries of this machine and run as the current user. Anything else is refused with its line
number. Otherwise an incomplete image would fail later, with an error that hides the cause.

The build context is the staged folder of a CDK asset. The CDK has already removed the files that
`.dockerignore` and the asset's `exclude` name.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of an image whose Dockerfile sets none."""

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_UNSUPPORTED_SYNTAX = (
    (re.compile(r"<<-?\s*[\"']?\w"), "a here-document"),
    (re.compile(r"\$\{\w+[^\w}]"), "a variable with a modifier, such as ${NAME:-default}"),
    (re.compile(r"'[^']*\$[^']*'|\\\$"), "a literal $"),
)


class DockerfileError(Exception):
    """The Dockerfile is not supported without Docker. The text has one problem per line."""

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{path.name} cannot be run without Docker:\n" + "\n".join(f"  {p}" for p in problems))


@dataclasses.dataclass
class ImageSettings:
    """How a container of an image starts."""

    environment: dict[str, str] = dataclasses.field(default_factory=lambda: {"PATH": DEFAULT_PATH})
    working_directory: str = "/"
    entrypoint: list[str] = dataclasses.field(default_factory=list)
    command: list[str] = dataclasses.field(default_factory=list)
    labels: dict[str, str] = dataclasses.field(default_factory=dict)


def build(
    context: Path, dockerfile: Path, root: Path, build_arguments: Mapping[str, str] | None = None
) -> ImageSettings:
    """Copy the files of the last stage to `root`, the image's `/`, and return the image's settings.

    Args:
        context: Folder that `COPY` reads from.
        dockerfile: The Dockerfile to follow.
        root: Folder to create.
        build_arguments: Values that replace the defaults of `ARG`.

    Raises:
        DockerfileError: Lists every problem found.
    """
    return _Build(context.resolve(), root, build_arguments or {}).run(dockerfile)


class _Refusal(Exception):  # noqa: N818 - becomes one problem of a DockerfileError
    """One instruction is not supported or not valid."""


@dataclasses.dataclass(frozen=True)
class _Instruction:
    line: int
    keyword: str
    text: str


@dataclasses.dataclass
class _Stage:
    name: str
    base: str
    instructions: list[_Instruction] = dataclasses.field(default_factory=list)


def _instructions(text: str) -> Iterator[_Instruction]:
    """Drop comments, join continued lines, and number each instruction by its first line."""
    first, joined = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        first = first or number
        joined += line.rstrip().removesuffix("\\")
        if not line.rstrip().endswith("\\"):
            keyword, _, rest = joined.strip().partition(" ")
            yield _Instruction(first, keyword.upper(), rest.strip())
            first, joined = 0, ""


class _Build:
    def __init__(self, context: Path, root: Path, build_arguments: Mapping[str, str]) -> None:
        self._context = context
        self._root = root
        self._given = build_arguments
        self._declared: set[str] = set()
        self._problems: list[str] = []
        self._global_arguments: dict[str, str] = {}
        self._arguments: dict[str, str] = {}
        self._settings = ImageSettings()
        self._command_is_inherited = False

    def run(self, dockerfile: Path) -> ImageSettings:
        self._root.mkdir(parents=True)
        stages = self._read_stages(dockerfile.read_text(encoding="utf-8"))
        for stage in self._chain(stages):
            self._arguments = {}
            self._command_is_inherited = True
            for instruction in stage.instructions:
                self._try(instruction, _SUPPORTED[instruction.keyword])
        if not stages and not self._problems:
            self._problems.append("line 1: there is no FROM: start the Dockerfile with one")
        self._problems += [
            f"line 1: the build argument {name!r} has no ARG: add one, or leave it out"
            for name in sorted(self._given.keys() - self._declared)
        ]
        if self._problems:
            raise DockerfileError(dockerfile, self._problems)
        return self._settings

    def _read_stages(self, text: str) -> list[_Stage]:
        stages: list[_Stage] = []

        def read(_build: _Build, instruction: _Instruction) -> None:
            if instruction.keyword == "FROM":
                stages.append(self._stage(instruction))
            elif instruction.keyword not in _SUPPORTED:
                supported = ", ".join(sorted({*_SUPPORTED, "FROM"}))
                raise _Refusal(f"is not supported by the embedded AWS (supported: {supported}): remove it")
            elif stages:
                stages[-1].instructions.append(instruction)
            elif instruction.keyword == "ARG":
                self._declare(instruction, self._global_arguments, {})
            else:
                raise _Refusal("comes before the first FROM: move it below")

        for instruction in _instructions(text):
            self._try(instruction, read)
        return stages

    def _chain(self, stages: Sequence[_Stage]) -> list[_Stage]:
        """Return the last stage after the stages that it is based on."""
        chain: list[_Stage] = []
        ahead = list(stages)
        while ahead:
            stage = ahead.pop()
            if not chain or stage.name == chain[0].base:
                chain.insert(0, stage)
        return chain

    def _try(self, instruction: _Instruction, action: Callable[[_Build, _Instruction], None]) -> None:
        try:
            if instruction.keyword not in ("RUN", "USER"):
                for pattern, what in _UNSUPPORTED_SYNTAX:
                    if pattern.search(instruction.text):
                        raise _Refusal(f"{what} is not supported by the embedded AWS: replace it")
            elif "<<" in instruction.text:
                raise _Refusal("a here-document is not supported by the embedded AWS: replace it")
            action(self, instruction)
        except _Refusal as refusal:
            self._problems.append(f"line {instruction.line}: {instruction.keyword}: {refusal}")

    def _stage(self, instruction: _Instruction) -> _Stage:
        words = self._words(instruction, self._global_arguments)
        if words and words[0].startswith("--platform="):
            words.pop(0)
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
            raise _Refusal(f"{instruction.text!r} is not of the form IMAGE [AS NAME]: correct it")
        return _Stage(name=words[2].lower() if len(words) == 3 else "", base=words[0].lower())

    def _declare(self, instruction: _Instruction, arguments: dict[str, str], defaults: Mapping[str, str]) -> None:
        for word in self._words(instruction, {**arguments, **self._settings.environment}):
            name, equals, value = word.partition("=")
            self._declared.add(name)
            arguments[name] = self._given.get(name, value if equals else defaults.get(name, ""))

    def _words(self, instruction: _Instruction, variables: Mapping[str, str]) -> list[str]:
        """Split at blanks outside quotes, and replace variables; unknown variables are empty."""
        try:
            words = shlex.split(instruction.text)
        except ValueError as error:
            raise _Refusal(f"{instruction.text!r} cannot be split into words ({error}): correct it") from error
        return [_VARIABLE.sub(lambda match: variables.get(match[1] or match[2], ""), word) for word in words]

    def _stage_words(self, instruction: _Instruction) -> list[str]:
        return self._words(instruction, {**self._arguments, **self._settings.environment})

    def _pairs(self, instruction: _Instruction) -> dict[str, str]:
        pairs = [word.partition("=") for word in self._stage_words(instruction)]
        wrong = [name for name, equals, _ in pairs if not equals or not name]
        if wrong:
            raise _Refusal(f"{wrong[0]!r} is not of the form KEY=VALUE: quote values that contain blanks")
        return {name: value for name, _, value in pairs}

    def _arg(self, instruction: _Instruction) -> None:
        self._declare(instruction, self._arguments, self._global_arguments)

    def _env(self, instruction: _Instruction) -> None:
        self._settings.environment.update(self._pairs(instruction))

    def _label(self, instruction: _Instruction) -> None:
        self._settings.labels.update(self._pairs(instruction))

    def _workdir(self, instruction: _Instruction) -> None:
        self._settings.working_directory = self._absolute(" ".join(self._stage_words(instruction)))
        self._host_path(".").mkdir(parents=True, exist_ok=True)

    def _entrypoint(self, instruction: _Instruction) -> None:
        self._settings.entrypoint = _exec_form(instruction)
        if self._command_is_inherited:  # as in Docker, a new ENTRYPOINT drops the CMD of the base image
            self._settings.command = []

    def _cmd(self, instruction: _Instruction) -> None:
        self._settings.command = _exec_form(instruction)
        self._command_is_inherited = False

    def _skip(self, instruction: _Instruction) -> None:
        """Do nothing."""

    def _copy(self, instruction: _Instruction) -> None:
        words = self._stage_words(instruction)
        if flags := [word for word in words if word.startswith("--")]:
            raise _Refusal(f"the flag {flags[0]} is not supported by the embedded AWS: remove it")
        if instruction.text.startswith("[") or len(words) < 2:
            raise _Refusal(f"{instruction.text!r} is not of the form SOURCE... DESTINATION: correct it")
        *sources, target = words
        into_folder = target.endswith("/") or len(sources) > 1 or self._host_path(target).is_dir()
        for source in sources:
            path, to = self._source(source), self._host_path(target)
            if path.is_dir():
                shutil.copytree(
                    path, to, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                to = to / path.name if into_folder else to
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, to)

    def _source(self, source: str) -> Path:
        relative = posixpath.normpath(source.lstrip("/"))
        if relative.split("/")[0] == "..":
            raise _Refusal(f"{source!r} is outside of the build context: move it into the context")
        if any(char in relative for char in "*?["):
            raise _Refusal(
                f"{source!r} is a pattern, which is not supported by the embedded AWS: name files or folders"
            )
        path = self._context / relative
        if not path.exists():
            raise _Refusal(f"{source!r} is not in the build context: add it")
        for inner in [path, *path.rglob("*")]:
            if inner.is_symlink() and not inner.resolve().is_relative_to(self._context):
                raise _Refusal(
                    f"{inner.name!r} links to a path outside of the build context: copy the file into the context"
                )
        return path

    def _absolute(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self._settings.working_directory, path))

    def _host_path(self, path: str) -> Path:
        return self._root / self._absolute(path).lstrip("/")


_SUPPORTED: dict[str, Callable[[_Build, _Instruction], None]] = {
    "ARG": _Build._arg,  # noqa: SLF001 - the class's own table of methods
    "CMD": _Build._cmd,  # noqa: SLF001
    "COPY": _Build._copy,  # noqa: SLF001
    "ENTRYPOINT": _Build._entrypoint,  # noqa: SLF001
    "ENV": _Build._env,  # noqa: SLF001
    "LABEL": _Build._label,  # noqa: SLF001
    "RUN": _Build._skip,  # noqa: SLF001
    "USER": _Build._skip,  # noqa: SLF001
    "WORKDIR": _Build._workdir,  # noqa: SLF001
}


def _exec_form(instruction: _Instruction) -> list[str]:
    try:
        words = json.loads(instruction.text)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _Refusal(
            f"{instruction.text!r} is in shell form, whose shell does not forward SIGTERM: "
            f'write it in exec form, such as {instruction.keyword} ["python", "-m", "scoring"]'
        )
    return words
