"""Follow a Dockerfile without Docker, as far as an image can be run as plain processes.

Understood: FROM, COPY and ADD of local paths, ENV, WORKDIR, ENTRYPOINT and CMD in exec form, USER, ARG, LABEL.
RUN is not executed but noted: the installed libraries of this machine stand for what it would have installed.
Of a multi-stage build only files that some COPY took from the build context exist. Everything else is refused with its
line number, because an image that silently lacks a part would fail far from the cause.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from embedded.images.dockerfile import (
    DockerfileError,
    Instruction,
    Refusal,
    exec_form,
    ignore_rule,
    json_list,
    read_instructions,
    read_pairs,
    split_words,
)

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ARCHIVE_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")


@dataclasses.dataclass
class Stage:
    """One build stage: its file tree and the settings that a container of it would start with."""

    root: Path
    name: str | None = None
    environment: dict[str, str] = dataclasses.field(default_factory=lambda: {"PATH": DEFAULT_PATH})
    arguments: dict[str, str] = dataclasses.field(default_factory=dict)
    working_directory: str = "/"
    entrypoint: list[str] = dataclasses.field(default_factory=list)
    command: list[str] = dataclasses.field(default_factory=list)
    command_is_own: bool = False
    user: str | None = None
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    not_executed: list[str] = dataclasses.field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        return {**self.arguments, **self.environment}

    def absolute(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.working_directory, path))

    def host_path(self, path: str) -> Path:
        return self.root / self.absolute(path).lstrip("/")


def build(context: Path, dockerfile: Path, roots: Path, arguments: Mapping[str, str] | None = None) -> Stage:
    """Carry out the Dockerfile and return its last stage, whose files lie under `roots`.

    `arguments` replace the defaults of its ARGs; one that it does not have is a problem.

    Raises DockerfileError with every problem found.
    """
    return _Builder(context, dockerfile, roots, arguments or {}).build()


class _Builder:
    def __init__(self, context: Path, dockerfile: Path, roots: Path, arguments: Mapping[str, str]) -> None:
        self._given = dict(arguments)
        self._asked_for: set[str] = set()
        self._context = context.resolve()
        self._dockerfile = dockerfile
        self._roots = roots
        self._ignored = ignore_rule(context / ".dockerignore")
        self._stages: list[Stage] = []
        self._global_arguments: dict[str, str] = {}

    def build(self) -> Stage:
        problems = []
        for instruction in read_instructions(self._dockerfile.read_text(encoding="utf-8")):
            try:
                self._carry_out(instruction)
            except Refusal as refusal:
                problems.append(f"line {instruction.line}: {instruction.keyword}: {refusal}")
        if not self._stages and not problems:
            problems.append("line 1: there is no FROM: start the Dockerfile with one")
        problems += [
            f"line 1: the build argument {name!r} has no ARG: add one, or leave it out"
            for name in sorted(self._given.keys() - self._asked_for)
        ]
        if problems:
            raise DockerfileError(self._dockerfile, problems)
        return self._stages[-1]

    def _carry_out(self, instruction: Instruction) -> None:
        actions: dict[str, Callable[[Instruction], None]] = {
            "FROM": self._from,
            "ARG": self._arg,
            "COPY": self._copy,
            "ADD": self._copy,
            "ENV": self._env,
            "LABEL": self._label,
            "WORKDIR": self._workdir,
            "ENTRYPOINT": self._entrypoint,
            "CMD": self._command,
            "USER": self._user,
            "RUN": self._run,
        }
        action = actions.get(instruction.keyword)
        if action is None:
            raise Refusal(f"is not supported by the embedded AWS (supported: {', '.join(sorted(actions))}): remove it")
        allowed = {"FROM": {"platform"}, "COPY": {"from", "chown", "chmod", "link"}, "ADD": {"chown", "chmod", "link"}}
        unknown = set(instruction.flags) - allowed.get(instruction.keyword, set())
        if unknown and instruction.keyword != "RUN":
            raise Refusal(f"the flag --{min(unknown)} is not supported by the embedded AWS: remove it")
        if not self._stages and instruction.keyword not in {"FROM", "ARG"}:
            raise Refusal("comes before the first FROM: move it below")
        action(instruction)

    @property
    def _stage(self) -> Stage:
        return self._stages[-1]

    def _from(self, instruction: Instruction) -> None:
        words = split_words(instruction.text, self._global_arguments)
        if len(words) not in {1, 3} or (len(words) == 3 and words[1].upper() != "AS"):
            raise Refusal(f"{instruction.text!r} is not of the form IMAGE [AS NAME]: correct it")
        root = self._roots / str(len(self._stages))
        base = next((s for s in reversed(self._stages) if s.name == words[0].lower()), None)
        stage = Stage(root=root)
        if base is not None:
            shutil.copytree(base.root, root, symlinks=True)
            stage = dataclasses.replace(
                base,
                root=root,
                environment=dict(base.environment),
                arguments={},
                labels=dict(base.labels),
                not_executed=list(base.not_executed),
                command_is_own=False,
            )
        else:
            root.mkdir(parents=True)
        stage.name = words[2].lower() if len(words) == 3 else None
        self._stages.append(stage)

    def _arg(self, instruction: Instruction) -> None:
        if not self._stages:
            for word in split_words(instruction.text, self._global_arguments):
                name, _, value = word.partition("=")
                self._asked_for.add(name)
                self._global_arguments[name] = self._given.get(name, value)
            return
        for word in split_words(instruction.text, self._stage.variables):
            name, equals, value = word.partition("=")
            self._asked_for.add(name)
            default = value if equals else self._global_arguments.get(name, "")
            self._stage.arguments[name] = self._given.get(name, default)

    def _env(self, instruction: Instruction) -> None:
        self._stage.environment.update(read_pairs(instruction, self._stage.variables))

    def _label(self, instruction: Instruction) -> None:
        self._stage.labels.update(read_pairs(instruction, self._stage.variables))

    def _workdir(self, instruction: Instruction) -> None:
        words = split_words(instruction.text, self._stage.variables)
        self._stage.working_directory = self._stage.absolute(" ".join(words))
        self._stage.host_path(".").mkdir(parents=True, exist_ok=True)

    def _user(self, instruction: Instruction) -> None:
        self._stage.user = " ".join(split_words(instruction.text, self._stage.variables))

    def _entrypoint(self, instruction: Instruction) -> None:
        self._stage.entrypoint = exec_form(instruction)
        if not self._stage.command_is_own:  # as Docker does: a new ENTRYPOINT drops the base image's CMD
            self._stage.command = []

    def _command(self, instruction: Instruction) -> None:
        self._stage.command = exec_form(instruction)
        self._stage.command_is_own = True

    def _run(self, instruction: Instruction) -> None:
        self._stage.not_executed.append(f"line {instruction.line}: RUN {instruction.text}")

    def _copy(self, instruction: Instruction) -> None:
        stage = self._stage
        if instruction.has_here_document:
            raise Refusal("a here-document is not supported by the embedded AWS: put the file into the build context")
        words = json_list(instruction.text) or split_words(instruction.text, stage.variables)
        if len(words) < 2:
            raise Refusal(f"{instruction.text!r} lacks a source or a destination: give both")
        *sources, target = words
        found: list[Path] = []
        for source in sources:
            found += self._sources(instruction, source)
        into_folder = target.endswith("/") or len(found) > 1 or stage.host_path(target).is_dir()
        mode = instruction.flags.get("chmod")
        if mode is not None and not re.fullmatch(r"[0-7]{3,4}", mode):
            raise Refusal(f"--chmod={mode} is not an octal mode such as 755: write it so")
        for path in found:
            from_context = "from" not in instruction.flags
            to = stage.host_path(target)
            if path.is_dir():
                self._copy_folder(path, to, from_context)
            else:
                to = to / path.name if into_folder else to
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, to)
            if mode is not None:
                for item in [to, *to.rglob("*")] if path.is_dir() else [to]:
                    item.chmod(int(mode, 8))

    def _sources(self, instruction: Instruction, source: str) -> list[Path]:
        name = instruction.flags.get("from")
        if instruction.keyword == "ADD" and (re.match(r"(https?|git|ssh)://|git@", source)):
            raise Refusal(f"{source!r} is not a local path: put the file into the build context and COPY it")
        if instruction.keyword == "ADD" and source.endswith(_ARCHIVE_ENDINGS):
            raise Refusal(f"{source!r} would be unpacked, which the embedded AWS does not do: use COPY")
        if name is None:
            base = self._context
        else:
            stage = next((s for i, s in enumerate(self._stages[:-1]) if name.lower() in {s.name, str(i)}), None)
            if stage is None:
                raise Refusal(f"--from={name} names no earlier stage; other images cannot be read: name a stage")
            base = stage.root.resolve()
        pattern = posixpath.normpath(source.lstrip("/"))
        if pattern.split("/")[0] == "..":
            raise Refusal(f"{source!r} lies outside of the build context: move it in")
        is_glob = any(char in pattern for char in "*?[")
        found = sorted(base.glob(pattern)) if is_glob else [base / pattern]
        found = [p for p in found if p.exists() and (name is not None or self._has_any(p))]
        outside = [p for p in found if not p.resolve().is_relative_to(base)]
        if outside:
            raise Refusal(f"{source!r} links to a place outside of the build context: copy the file itself in")
        if found:
            return found
        if name is None:
            raise Refusal(f"{source!r} is not in the build context (or .dockerignore leaves it out): add it")
        raise Refusal(
            f"{source!r} was not put into stage {name!r} by a COPY from the build context; what RUN makes does not "
            "exist without Docker: install libraries in the last stage and copy only files of the build context"
        )

    def _has_any(self, path: Path) -> bool:
        candidates = path.rglob("*") if path.is_dir() else [path]
        is_empty = path.is_dir() and not any(path.iterdir())
        return is_empty or any(not self._ignored(p.relative_to(self._context).as_posix()) for p in candidates)

    def _copy_folder(self, source: Path, target: Path, from_context: bool) -> None:
        target.mkdir(parents=True, exist_ok=True)
        base = self._context if from_context else source
        for path in sorted(source.rglob("*")):
            if from_context and self._ignored(path.relative_to(self._context).as_posix()):
                continue
            to = target / path.relative_to(source)
            if path.is_symlink():
                if not path.resolve().is_relative_to(base):
                    raise Refusal(f"{path.name!r} links to a place outside of the build context: copy the file in")
                to.parent.mkdir(parents=True, exist_ok=True)
                to.unlink(missing_ok=True)
                to.symlink_to(path.readlink())
            elif path.is_dir():
                to.mkdir(parents=True, exist_ok=True)
            else:
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, to)
