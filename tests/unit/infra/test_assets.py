"""The folders that the synthesis stages, which a deployment zips or builds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.unit.infra.assembly import Assembly

ROOT = Path(__file__).resolve().parents[3]


def staged(assembly: Assembly, stack: str, kind: str) -> tuple[Path, dict[str, Any]]:
    text = (assembly.directory / f"fleetscore-{assembly.stage}-{stack}.assets.json").read_text(encoding="utf-8")
    sources = [item["source"] for item in json.loads(text)[kind].values()]
    (source,) = [item for item in sources if not str(item.get("path", "")).endswith(".json")]
    return assembly.directory / (source.get("path") or source["directory"]), source


def source_files(*folders: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_functions_get_only_their_code_and_the_contract(assembly: Assembly) -> None:
    folder, _ = staged(assembly, "workflow", "files")
    assert files_in(folder) == source_files("lambdas", "contract")


def test_the_image_gets_only_its_code_and_the_contract(assembly: Assembly) -> None:
    folder, source = staged(assembly, "compute", "dockerImages")
    assert files_in(folder) == source_files("inference_container", "contract")
    assert source["dockerFile"] == "inference_container/Dockerfile"
    assert source["platform"] == "linux/amd64"
    assert (folder / source["dockerFile"]).is_file()


def test_every_handler_imports_from_the_staged_folder_alone(assembly: Assembly) -> None:
    folder, _ = staged(assembly, "workflow", "files")
    handlers = {item["Handler"] for item in assembly.resources("workflow", "AWS::Lambda::Function").values()}
    assert len(handlers) == 11
    modules = sorted(handler.rpartition(".")[0] for handler in handlers)
    code = (
        "import importlib, sys\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        f"for name in {modules!r}:\n"
        "    assert callable(importlib.import_module(name).handler), name\n"
        "origins = {sys.modules[name].__file__ for name in ('lambdas', 'contract')}\n"
        f"assert all(origin.startswith({str(folder)!r}) for origin in origins), origins\n"
    )
    _run_alone(code, folder)


def test_the_contract_needs_only_the_standard_library(assembly: Assembly) -> None:
    folder, _ = staged(assembly, "compute", "dockerImages")
    modules = sorted(
        ".".join(path.relative_to(folder).with_suffix("").parts)
        for path in (folder / "contract").rglob("*.py")
        if path.stem != "__init__"
    )
    assert "contract.workflow.scoring_request" in modules
    code = (
        "import importlib, sys\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
    )
    # -S leaves out site-packages.
    _run_alone(code, folder, "-S")


def _run_alone(code: str, folder: Path, *options: str) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-P", *options, "-c", code],
        cwd=folder.parent,
        env={"AWS_DEFAULT_REGION": "eu-central-1", "POWERTOOLS_TRACE_DISABLED": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]


def test_the_storage_stack_has_no_image(assembly: Assembly) -> None:
    text = (assembly.directory / "fleetscore-dev-storage.assets.json").read_text(encoding="utf-8")
    assert not json.loads(text).get("dockerImages")
