"""How a container of an image starts as a process."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from embedded.images.image import ProcessCommand
from tests.unit.embedded.images.conftest import RegisterImage


def output(command: ProcessCommand) -> str:
    return subprocess.run(
        command.argv,
        env=command.environment,
        cwd=command.working_directory,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_only_paths_of_the_image_are_mapped(register: RegisterImage) -> None:
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


def test_entry_point_and_arguments_are_replaced_as_by_docker(register: RegisterImage) -> None:
    image = register("FROM x", 'ENTRYPOINT ["a"]', 'CMD ["b"]')
    assert image.command().argv == ("a", "b")
    assert image.command(arguments=["c"]).argv == ("a", "c")
    assert image.command(entrypoint=["d"]).argv == ("d",)
    assert image.command(entrypoint=["d"], arguments=["e"]).argv == ("d", "e")
    with pytest.raises(ValueError, match="neither ENTRYPOINT nor CMD"):
        register("FROM x").command()


def test_an_image_cannot_import_an_editable_project(register: RegisterImage, context: Path, tmp_path: Path) -> None:
    """Paths and import finders of editable installs are hidden."""
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


def test_a_subprocess_runs_with_the_same_python(register: RegisterImage, context: Path) -> None:
    (context / "app/main.py").write_text(
        "import subprocess; subprocess.run(['python', '-c', 'import sys; print(sys.executable)'])"
    )
    image = register("FROM python", "COPY app /app", 'ENTRYPOINT ["python3", "/app/main.py"]')
    assert Path(output(image.command()).strip()).parent == Path(sys.executable).parent
