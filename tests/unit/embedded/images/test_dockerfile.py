"""Images built from a Dockerfile without Docker."""

from pathlib import Path

import pytest

from embedded.images.dockerfile import DEFAULT_PATH, DockerfileError, build
from embedded.images.image import Image
from embedded.images.image_store import ImageStore
from tests.unit.embedded.images.conftest import URI, RegisterImage

PROJECT = Path(__file__).parents[4]


def files(image: Image) -> set[str]:
    found = (path.relative_to(image.root) for path in image.root.rglob("*") if not path.is_dir())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY app /opt/program", {"opt/program/main.py", "opt/program/deep/data.txt"}),
        ("COPY app/ lib /opt/", {"opt/main.py", "opt/deep/data.txt", "opt/tool.py"}),
        ("COPY notes.md /opt/readme", {"opt/readme"}),
        ("COPY notes.md /opt/", {"opt/notes.md"}),
        ("COPY notes.md relative/", {"srv/relative/notes.md"}),
        ("COPY notes.md .", {"srv/notes.md"}),
        ("COPY notes.md '/opt/two words/'", {"opt/two words/notes.md"}),
        ("COPY \\\n  # a comment\n  notes.md \\\n\n  /opt/", {"opt/notes.md"}),
        ('ARG PLACE=/opt\nCOPY notes.md "$PLACE/$PLACE/"', {"opt/opt/notes.md"}),
    ],
)
def test_copied_files_are_where_docker_puts_them(register: RegisterImage, line: str, expected: set[str]) -> None:
    assert files(register("FROM scratch", "WORKDIR /srv", line)) == expected


def test_settings_and_variables_are_read(register: RegisterImage) -> None:
    image = register(
        "# syntax=docker/dockerfile:1",
        "ARG VERSION=3.11",
        "FROM --platform=linux/amd64 python:${VERSION}-slim AS base",
        "ARG VERSION",
        "ARG COLOUR=blue",
        'ENV A=$COLOUR B="two words" \\',
        "    C=<$A>",
        "LABEL version=$VERSION",
        "RUN pip install numpy \\",
        "    && X=${X:-'$1'}",
        "USER app",
        "WORKDIR /opt",
        "WORKDIR program",
        'ENTRYPOINT ["python", "-m", "scoring"]',
        'CMD ["--all"]',
    )
    # A was not set yet when the instruction that also sets C began.
    assert image.environment == {"PATH": DEFAULT_PATH, "A": "blue", "B": "two words", "C": "<>"}
    assert image.labels == {"version": "3.11"}
    assert image.working_directory == "/opt/program"
    assert image.entrypoint == ("python", "-m", "scoring")
    assert image.arguments == ("--all",)


def test_the_last_stage_builds_on_the_stages_that_it_names(register: RegisterImage) -> None:
    image = register(
        "FROM x AS base",
        "ENV A=1",
        "ARG HIDDEN=set",
        "COPY notes.md /",
        'ENTRYPOINT ["a"]',
        'CMD ["b"]',
        "FROM base AS unused",
        "COPY app /app",
        "FROM base",
        "ENV HIDDEN=$HIDDEN",
        "COPY lib /lib",
    )
    assert files(image) == {"notes.md", "lib/tool.py"}
    assert image.environment == {"PATH": DEFAULT_PATH, "A": "1", "HIDDEN": ""}
    assert (image.entrypoint, image.arguments) == (("a",), ("b",))


def test_a_new_entry_point_drops_the_command_of_its_base(register: RegisterImage) -> None:
    image = register("FROM x AS base", 'CMD ["b"]', "FROM base", 'ENTRYPOINT ["c"]')
    assert (image.entrypoint, image.arguments) == (("c",), ())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("COPY missing /opt/", "line 2: COPY: 'missing' is not in the build context"),
        ("COPY ../secret /opt/", "'../secret' is outside of the build context"),
        ("COPY --from=build /x /opt/", "the flag --from=build is not supported by the embedded AWS"),
        ("COPY --chmod=755 app /opt/", "the flag --chmod=755 is not supported by the embedded AWS"),
        ("COPY app/*.py /opt/", "'app/*.py' is a pattern, which is not supported by the embedded AWS"),
        ('COPY ["app", "/opt/"]', "is not of the form SOURCE... DESTINATION"),
        ("COPY app", "is not of the form SOURCE... DESTINATION"),
        ("COPY <<EOF /opt/x", "a here-document is not supported"),
        ("RUN <<EOF", "a here-document is not supported"),
        ("ADD app /opt/", "line 2: ADD: is not supported by the embedded AWS"),
        ("ENTRYPOINT python -m scoring", "is in shell form, whose shell does not forward SIGTERM"),
        ("CMD python -m scoring", "is in shell form"),
        ("HEALTHCHECK NONE", "line 2: HEALTHCHECK: is not supported by the embedded AWS"),
        ('SHELL ["/bin/bash"]', "SHELL: is not supported"),
        ("ENV A='1", "cannot be split into words (No closing quotation)"),
        ("ENV A=1 B", "'B' is not of the form KEY=VALUE"),
        ("ENV A ${B:-1}", "a variable with a modifier, such as ${NAME:-default} is not supported"),
        ("ENV A='$B'", "a literal $ is not supported"),
        ("FROM a b", "is not of the form IMAGE [AS NAME]"),
    ],
)
def test_unsupported_instructions_are_refused_with_their_line(register: RegisterImage, line: str, reason: str) -> None:
    with pytest.raises(DockerfileError) as error:
        register("FROM scratch", line)
    assert len(error.value.problems) == 1
    assert reason in error.value.problems[0]


def test_all_problems_are_reported_at_once(register: RegisterImage, store: ImageStore) -> None:
    with pytest.raises(DockerfileError) as error:
        register("FROM a", "VOLUME /x", "RUN a \\", "  b", "CMD x", "COPY nothing /")
    assert [problem.partition(":")[0] for problem in error.value.problems] == ["line 2", "line 5", "line 6"]
    assert store.resolve(URI) is None


def test_a_link_out_of_the_build_context_is_refused(register: RegisterImage, context: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (context / "app/link").symlink_to(tmp_path / "secret")
    with pytest.raises(DockerfileError, match="links to a path outside"):
        register("FROM a", "COPY app /opt")


def test_a_dockerfile_starts_with_from(register: RegisterImage) -> None:
    with pytest.raises(DockerfileError, match="there is no FROM"):
        register("ARG A=1")
    with pytest.raises(DockerfileError, match="comes before the first FROM"):
        register("COPY app /", "FROM a")


@pytest.mark.parametrize("variant", ["core", "tensorflow", "trees", "pytorch"])
def test_each_variant_of_our_own_image_is_built(tmp_path: Path, variant: str) -> None:
    dockerfile = PROJECT / "inference_container/Dockerfile"
    settings = build(PROJECT, dockerfile, tmp_path / "root", {"VARIANT": variant})
    assert settings.entrypoint == ["python", "-m", "launcher"]
    assert settings.labels["fleetscore.variant"] == variant
    assert settings.environment["PYTHONPATH"] == "/opt/program"
    assert (tmp_path / "root/opt/program/scoring/__main__.py").is_file()
    expected = {"requirements.txt"} | ({f"requirements-{variant}.txt"} - {"requirements-core.txt"})
    assert {path.name for path in (tmp_path / "root/opt").glob("*.txt")} == expected


@pytest.mark.parametrize(
    ("variant", "accelerator", "asks"),
    [
        ("core", "cpu", False),
        ("tensorflow", "cpu", False),
        ("trees", "cpu", False),
        # PyTorch's build is the one for CUDA in both.
        ("pytorch", "cpu", True),
        *((variant, "gpu", True) for variant in ("core", "tensorflow", "trees", "pytorch")),
    ],
)
def test_images_with_libraries_for_cuda_ask_for_the_gpu(
    tmp_path: Path, variant: str, accelerator: str, *, asks: bool
) -> None:
    dockerfile = PROJECT / "inference_container/Dockerfile"
    arguments = {"VARIANT": variant, "ACCELERATOR": accelerator}
    environment = build(PROJECT, dockerfile, tmp_path / "root", arguments).environment
    found = {name: value for name, value in environment.items() if name.startswith("NVIDIA_")}
    expected = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
    assert found == (expected if asks else {})


def test_our_own_image_is_built_on_a_base_image_that_is_named_by_digest(tmp_path: Path) -> None:
    dockerfile = PROJECT / "inference_container/Dockerfile"
    base = "registry.example.com/mirror/python@sha256:" + "0" * 64
    build(PROJECT, dockerfile, tmp_path / "root", {"BASE_IMAGE": base})
    assert (tmp_path / "root/opt/program/scoring").is_dir()
