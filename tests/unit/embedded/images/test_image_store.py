"""Images without Docker: from a Dockerfile to a process."""

import json
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded.images.dockerfile import DockerfileError, read_instructions, split_words
from embedded.images.images import Image, ImageNotRegisteredError, ImageStore, ProcessCommand

Register = Callable[..., Image]
URI = "000000000000.dkr.ecr.eu-west-1.amazonaws.com/repository:tag"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    for name in ("app/main.py", "app/deep/data.txt", "lib/tool.py", "notes.md"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


@pytest.fixture
def register(context: Path, store: ImageStore) -> Register:
    def register(*lines: str) -> Image:
        (context / "Dockerfile").write_text("\n".join(lines))
        store.register(URI, context)
        image = store.resolve(URI)
        assert image is not None
        return image

    return register


def tree(image: Image) -> set[str]:
    found = (path.relative_to(image.root) for path in image.root.rglob("*") if not path.is_dir())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


def output(command: ProcessCommand, **more: str) -> str:
    return subprocess.run(
        command.argv,
        env={**command.environment, **more},
        cwd=command.working_directory,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY app /opt/program", {"opt/program/main.py", "opt/program/deep/data.txt"}),
        ("COPY app/ lib /opt/", {"opt/main.py", "opt/deep/data.txt", "opt/tool.py"}),
        ("COPY notes.md /opt/readme", {"opt/readme"}),
        ("COPY notes.md /opt/", {"opt/notes.md"}),
        ("COPY app/*.py lib/*.py /opt/", {"opt/main.py", "opt/tool.py"}),
        ('COPY ["notes.md", "/opt/two words/"]', {"opt/two words/notes.md"}),
        ("ADD --chown=app:app notes.md relative/", {"srv/relative/notes.md"}),
        ("COPY --chmod=755 lib/tool.py ./", {"srv/tool.py"}),
        ("COPY \\\n  # why not\n  notes.md \\\n\n  /opt/", {"opt/notes.md"}),
    ],
)
def test_copied_files_lie_where_docker_would_put_them(register: Register, line: str, expected: set[str]) -> None:
    assert tree(register("FROM scratch", "WORKDIR /srv", line)) == expected


def test_a_mode_is_set(register: Register) -> None:
    image = register("FROM scratch", "COPY --chmod=750 app /opt/app")
    assert {path.stat().st_mode & 0o777 for path in (image.root / "opt/app").rglob("*.txt")} == {0o750}


def test_files_that_dockerignore_names_are_left_out(register: Register, context: Path) -> None:
    (context / ".dockerignore").write_text("# all but the library\n**/*.txt\n*.md\napp\n!app/main.py\n")
    assert tree(register("FROM scratch", "COPY . /opt/")) >= {"opt/app/main.py", "opt/lib/tool.py"}
    assert not {"opt/notes.md", "opt/app/deep/data.txt"} & tree(register("FROM scratch", "COPY . /opt/"))


def test_settings_are_read_and_variables_put_in(register: Register) -> None:
    image = register(
        "# syntax=docker/dockerfile:1",
        "ARG VERSION=3.11",
        "FROM python:${VERSION}-slim AS base",
        "ARG VERSION",
        "ARG COLOUR=blue",
        "ENV A=$COLOUR B=\"two words\" C='$A' D=${NONE:-other} E=${COLOUR:+set} F=${A:+set}",
        "ENV OLD the old form",
        "LABEL version=$VERSION",
        "RUN pip install numpy \\",
        "    pandas",
        "USER app",
        "WORKDIR /opt",
        "WORKDIR program",
        'ENTRYPOINT ["python", "-m", "scoring"]',
        'CMD ["--all"]',
    )
    environment = {name: value for name, value in image.environment.items() if name != "PATH"}
    assert environment == {
        "A": "blue",
        "B": "two words",
        "C": "$A",
        "D": "other",
        "E": "set",
        "F": "",  # A was not yet set when this instruction began
        "OLD": "the old form",
    }
    assert image.labels == {"version": "3.11"}
    assert image.user == "app"
    assert image.working_directory == "/opt/program"
    assert image.entrypoint == ("python", "-m", "scoring")
    assert image.arguments == ("--all",)
    assert image.not_executed == ("line 9: RUN pip install numpy     pandas",)


def test_a_stage_gets_files_of_earlier_stages(register: Register) -> None:
    image = register(
        "FROM python:3.11 AS build",
        "COPY app /build/app",
        "COPY lib /build/lib",
        "FROM python:3.11-slim",
        "COPY --from=build /build/app /opt/app",
        "COPY --from=0 /build/lib/tool.py /opt/",
    )
    assert tree(image) == {"opt/app/main.py", "opt/app/deep/data.txt", "opt/tool.py"}


def test_a_stage_can_go_on_from_another(register: Register) -> None:
    image = register("FROM x AS base", "ENV A=1", "COPY notes.md /", 'CMD ["a"]', "FROM base", "COPY lib /lib")
    assert tree(image) == {"notes.md", "lib/tool.py"}
    assert image.environment["A"] == "1"
    assert image.arguments == ("a",)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("COPY missing /opt/", "line 2: COPY: 'missing' is not in the build context"),
        ("COPY ../secret /opt/", "'../secret' lies outside of the build context"),
        ("COPY --from=build /x /opt/", "--from=build names no earlier stage"),
        ("COPY --from=nginx:latest /x /opt/", "other images cannot be read"),
        ("COPY --parents app /opt/", "the flag --parents is not supported by the embedded AWS"),
        ("COPY --chmod=u+x app /opt/", "--chmod=u+x is not an octal mode"),
        ("COPY app", "lacks a source or a destination"),
        ("COPY <<EOF /opt/x\nline\nEOF", "a here-document is not supported"),
        ("ADD https://example.com/x /opt/", "'https://example.com/x' is not a local path"),
        ("ADD app.tar.gz /opt/", "would be unpacked"),
        ("ENTRYPOINT python -m scoring", "is in shell form, which swallows SIGTERM"),
        ("CMD python -m scoring", "is in shell form"),
        ("HEALTHCHECK NONE", "line 2: HEALTHCHECK: is not supported by the embedded AWS"),
        ('SHELL ["/bin/bash"]', "SHELL: is not supported"),
        ("ENV A='1", "the quote ' is never closed"),
        ("ENV A=1 B", "'B' is not of the form KEY=VALUE"),
        ("FROM a b", "is not of the form IMAGE [AS NAME]"),
    ],
)
def test_what_cannot_be_done_without_docker_is_refused_with_its_line(register: Register, line: str, why: str) -> None:
    with pytest.raises(DockerfileError) as error:
        register("FROM scratch", line)
    assert len(error.value.problems) == 1
    assert why in error.value.problems[0]


def test_all_problems_are_found_at_once(register: Register, store: ImageStore) -> None:
    with pytest.raises(DockerfileError) as error:
        register("FROM a", "VOLUME /x", "RUN <<EOF", "VOLUME in the script", "EOF", "CMD x", "COPY nothing /")
    assert [problem.partition(":")[0] for problem in error.value.problems] == ["line 2", "line 6", "line 7"]
    assert store.resolve(URI) is None


def test_what_run_makes_is_missed_by_name(register: Register) -> None:
    with pytest.raises(DockerfileError, match="'/venv' was not put into stage 'build' by a COPY"):
        register("FROM a AS build", "RUN python -m venv /venv", "FROM b", "COPY --from=build /venv /venv")


def test_a_link_out_of_the_context_is_refused(register: Register, context: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (context / "app/link").symlink_to(tmp_path / "secret")
    with pytest.raises(DockerfileError, match="links to a place outside"):
        register("FROM a", "COPY app /opt")


def test_a_dockerfile_needs_a_from(register: Register) -> None:
    with pytest.raises(DockerfileError, match="there is no FROM"):
        register("ARG A=1")
    with pytest.raises(DockerfileError, match="comes before the first FROM"):
        register("COPY app /", "FROM a")


def test_instructions_know_their_first_line() -> None:
    text = "FROM a\n\n# note\nRUN one \\\n  two\ncopy x y\n"
    assert [(i.line, i.keyword) for i in read_instructions(text)] == [(1, "FROM"), (4, "RUN"), (6, "COPY")]


def test_words_are_split_as_the_builder_does() -> None:
    assert split_words(r'a\ b "c  $X" \$X', {"X": "1"}) == ["a b", "c  1", "$X"]


def test_paths_of_the_image_are_mapped_and_others_are_not(register: Register) -> None:
    image = register(
        "FROM python",
        "COPY app /opt/program",
        "ENV HERE=/opt/program BOTH=/opt/program/deep:/usr/lib THERE=/usr/share WORD=opt",
        "WORKDIR /opt/program",
        'ENTRYPOINT ["/usr/local/bin/python3.11", "/opt/program/main.py", "/opt/ml/processing/x", "/etc/hosts"]',
    )
    command = image.command(environment={"MINE": "/opt/program"}, ml_root=Path("/moved"))
    program = f"{image.root}/opt/program"
    assert command.argv == (sys.executable, f"{program}/main.py", "/moved/processing/x", "/etc/hosts")
    assert command.environment["HERE"] == command.environment["MINE"] == program
    assert command.environment["BOTH"] == f"{program}/deep:/usr/lib"
    assert (command.environment["THERE"], command.environment["WORD"]) == ("/usr/share", "opt")
    assert command.working_directory == Path(program)
    assert image.command().argv[2] == "/opt/ml/processing/x"


def test_entrypoint_and_arguments_are_replaced_as_docker_run_does(register: Register) -> None:
    image = register("FROM x", 'ENTRYPOINT ["a"]', 'CMD ["b"]')
    assert image.command().argv == ("a", "b")
    assert image.command(arguments=["c"]).argv == ("a", "c")
    assert image.command(entrypoint=["d"]).argv == ("d",)
    assert image.command(entrypoint=["d"], arguments=["e"]).argv == ("d", "e")
    with pytest.raises(ValueError, match="neither ENTRYPOINT nor CMD"):
        register("FROM x").command()


def test_images_are_found_by_all_their_names_from_any_process(
    register: Register, store: ImageStore, tmp_path: Path
) -> None:
    image = register("FROM x", "COPY notes.md /")
    store.tag(URI, "local")
    other = ImageStore(tmp_path / "store")
    for name in ("local", "local:latest"):
        found = other.resolve(name)
        assert found is not None
        assert found.root == image.root
    assert other.resolve("unknown") is None
    with pytest.raises(ImageNotRegisteredError, match=r"no image is registered as 'unknown'.*ImageStore\.register"):
        store.tag("unknown", "x")


def test_registering_again_replaces_the_image_and_leaves_no_half_ones(
    register: Register, context: Path, tmp_path: Path
) -> None:
    first = register("FROM x", "COPY notes.md /")
    (context / "notes.md").write_text("new")
    second = register("FROM x", "COPY notes.md /")
    assert (second.root / "notes.md").read_text() == "new"
    assert (first.root / "notes.md").read_text() == "# notes.md\n"
    assert register("FROM x", "COPY notes.md /").root == second.root
    assert len(list((tmp_path / "store/images").iterdir())) == 2


def test_code_of_an_image_cannot_import_an_editable_project(register: Register, context: Path, tmp_path: Path) -> None:
    """An editable install puts a project's folder on the path, or a finder before it; both must be gone."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv/bin/python"
    [packages] = (tmp_path / "venv/lib").glob("python*/site-packages")
    (tmp_path / "project/cli").mkdir(parents=True)
    (tmp_path / "project/cli/__init__.py").write_text("")
    (packages / "project.pth").write_text(
        f"{tmp_path / 'project'}\nimport __editable___project_finder as f; f.install()\n"
    )
    (packages / "__editable___project_finder.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        if name == 'scoring': raise ImportError('the repository was asked')\n"
        "def install(): sys.meta_path.insert(0, Finder)\n"
    )
    (packages / "library.py").write_text("")
    (context / "lib/scoring.py").write_text("WHERE = __file__")
    (context / "app/main.py").write_text(
        "import importlib.util, json, library, scoring\n"
        "print(json.dumps([scoring.WHERE, importlib.util.find_spec('cli') is None]))"
    )
    image = register(
        "FROM python",
        "COPY app lib /opt/program/",
        "ENV PYTHONPATH=/opt/program",
        "WORKDIR /opt/program",
        'ENTRYPOINT ["python", "main.py"]',
    )
    where, is_hidden = json.loads(output(image.command(python=str(python))))
    assert where == f"{image.root}/opt/program/scoring.py"
    assert is_hidden


def test_a_subprocess_of_the_image_finds_the_same_python(register: Register, context: Path) -> None:
    (context / "app/main.py").write_text(
        "import subprocess; subprocess.run(['python', '-c', 'import sys; print(sys.executable)'])"
    )
    image = register("FROM python", "COPY app /app", 'ENTRYPOINT ["python3", "/app/main.py"]')
    assert Path(output(image.command()).strip()).parent == Path(sys.executable).parent
