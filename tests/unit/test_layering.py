"""Which folder may import which packages. All import statements are checked, also in functions."""

import ast
import functools
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = frozenset(
    {
        "contract",
        "lambdas",
        "infra",
        "app",
        "cli",
        "embedded",
        "scoring",
        "training",
        "launcher",
        "examples",
        "benchmarks",
        "tests",
    }
)
CONTAINER = frozenset(
    {"awscrt", "joblib", "numpy", "pandas", "pyarrow", "scipy", "sklearn", "threadpoolctl", "xgboost"}
) | {
    "lightgbm",
    "onnxruntime",
    "packaging",
    "msgspec",
    "skops",
}
HEAVY = frozenset({"keras", "tensorflow", "torch", "catboost", "daal4py"})
"""Packages of image variants. A loader imports its package only for models of its format."""

ALLOWED: dict[str, frozenset[str]] = {
    "contract": frozenset({"contract"}),
    "lambdas": frozenset({"lambdas", "contract", "boto3", "botocore", "dateutil", "aws_lambda_powertools"}),
    "inference_container/scoring": frozenset({"scoring", "contract"}) | CONTAINER | HEAVY,
    "inference_container/training": frozenset({"training", "scoring", "contract"}) | CONTAINER,
    "inference_container/launcher": frozenset({"launcher", "contract"}),
    "infra": frozenset({"infra", "contract", "aws_cdk", "cdk_nag", "constructs"}),
    "app.py": frozenset({"infra", "contract", "aws_cdk", "cdk_nag", "constructs"}),
    "cli": frozenset({"cli", "contract", "boto3", "botocore", "click", "rich", "rich_click"}),
}
"""Packages that each folder may import besides the standard library. Others are not limited."""

MAY_IMPORT_EMBEDDED = frozenset({"cli/commands/local/local.py", "cli/commands/local/faults.py"})
"""The modules of `fleetscore up`, `fleetscore down` and `fleetscore faults`."""

MAY_IMPORT_LATE = {
    "cli/sample_scoring/sample.py": frozenset({"pyarrow"}),
    "cli/documents/mlflow_folder.py": frozenset({"yaml"}),
}
"""Additional packages that single files may import, inside functions only."""


def files(folder: str) -> list[Path]:
    path = ROOT / folder
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@functools.cache
def import_statements(path: Path) -> list[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Return each import of a file, and whether it runs when the file is imported."""
    found: list[tuple[ast.Import | ast.ImportFrom, bool]] = []
    ahead: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text(), str(path)), True)]
    while ahead:
        node, at_load = ahead.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append((node, at_load))
            continue
        at_load = at_load and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        # Only these have statements.
        for field in ("body", "orelse", "handlers", "finalbody", "cases"):
            inner = getattr(node, field, None)
            ahead.extend((child, at_load) for child in (inner if isinstance(inner, list) else []))
    return found


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and top-level package of each import of a file."""
    for node, _ in import_statements(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        else:
            assert node.level == 0, f"{path}:{node.lineno}: a relative import, write an absolute one"
            yield node.lineno, (node.module or "").partition(".")[0]


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the full name of each module that a file imports."""
    for node, _ in import_statements(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            yield node.module or ""


def imported_names(path: Path, *, only_at_load: bool = False) -> Iterator[str]:
    """Yield the names that a file imports: `a.b` and `a` for `from a import b`."""
    for node, at_load in import_statements(path):
        if only_at_load and not at_load:
            continue
        yield from (
            alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}" for alias in node.names
        )
        if isinstance(node, ast.ImportFrom):
            yield str(node.module)


@pytest.mark.parametrize("folder", [folder for folder in ALLOWED if (ROOT / folder).exists()])
def test_a_folder_imports_only_allowed_packages(folder: str) -> None:
    found = files(folder)
    assert found, f"{folder} has no Python files"
    forbidden = [
        f"{path.relative_to(ROOT)}:{line} imports {package}"
        for path in found
        for line, package in imports(path)
        if package not in ALLOWED[folder]
        and package not in sys.stdlib_module_names
        and not (package == "embedded" and path.relative_to(ROOT).as_posix() in MAY_IMPORT_EMBEDDED)
        and package not in MAY_IMPORT_LATE.get(path.relative_to(ROOT).as_posix(), ())
    ]
    assert forbidden == []


def test_the_command_imports_no_heavy_package_at_start() -> None:
    heavy = sorted(CONTAINER | HEAVY | {"scoring", "yaml", "embedded"})
    code = f"import sys, cli.command_line.program; sys.exit(str([name for name in {heavy} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"


def test_only_up_down_faults_and_the_demo_import_the_embedded_aws() -> None:
    allowed = {"embedded", "tests", "examples", "benchmarks", "tools"}
    importers = {
        path.relative_to(ROOT).as_posix()
        for folder in ROOT.iterdir()
        if not folder.name.startswith(".") and folder.name not in allowed | {"node_modules", "build", "cdk.out"}
        for path in ([folder] if folder.suffix == ".py" else folder.rglob("*.py"))
        if any(package == "embedded" for _, package in imports(path))
    }
    assert importers <= MAY_IMPORT_EMBEDDED


def lambda_steps() -> set[str]:
    return {path.parent.name for path in (ROOT / "lambdas").glob("*/handler.py")}


def test_no_lambda_step_imports_another_step() -> None:
    steps = lambda_steps()
    found = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files("lambdas")
        for module in imported_modules(path)
        if module.startswith("lambdas.") and (step := module.split(".")[1]) in steps
        if step != path.relative_to(ROOT / "lambdas").parts[0]
    ]
    assert steps
    assert found == [], "move shared code to a folder such as lambdas/planning or lambdas/attempts"


def test_each_aws_operation_is_called_by_one_lambda_module() -> None:
    owners = {
        "put_item": "stage/tables/table.py",
        "transact_write_items": "stage/tables/table.py",
        "put_object": "stage/buckets/buckets.py",
        "start_execution": "stage/messaging/execution_starter.py",
        "send_task_success": "stage/messaging/task_tokens.py",
        "send_task_failure": "stage/messaging/task_tokens.py",
        "put_events": "stage/messaging/event_bus.py",
        "send_message": "stage/messaging/upload_queue.py",
    }
    for operation, owner in owners.items():
        users = {path for path in files("lambdas") if f".{operation}(" in path.read_text()}
        assert {path.relative_to(ROOT / "lambdas").as_posix() for path in users} == {owner}, operation


def test_only_one_lambda_module_creates_clients_and_reads_the_environment() -> None:
    users = {
        path.relative_to(ROOT / "lambdas").as_posix()
        for path in files("lambdas")
        if any(module in ("boto3", "os") for module in imported_modules(path))
    }
    assert users == {"stage/resources.py"}


def test_mypy_reads_every_module_that_the_code_imports() -> None:
    """A module that mypy skips has no types, so mypy would find no mistake in its use."""
    rules: dict[str, set[str]] = {"normal": set(), "skip": set()}
    for override in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]:
        if "follow_imports" in override:
            rules[override["follow_imports"]].update(override["module"])
    skipped = tuple(name.removesuffix("*") for name in rules["skip"])
    folders = OURS - {"app", "tests", "scoring", "training", "launcher"} | {"inference_container"}
    imported = {
        name
        for folder in folders
        for path in files(folder)
        for name in imported_names(path)
        if f"{name}.".startswith(skipped)
    }
    assert "aws_cdk.aws_iam" in imported
    unread = {name for name in imported - rules["normal"] if not name.rpartition(".")[2][0].isupper()}
    assert unread == set(), "list them in pyproject.toml with follow_imports = normal"


def test_every_package_of_the_repository_is_known() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= OURS


def test_no_module_is_in_an_import_cycle() -> None:
    cycle = import_cycle(module_imports())
    assert cycle == [], "import cycle: " + " -> ".join(cycle)


def module_imports() -> dict[str, set[str]]:
    """Return the own modules that each own module imports at load time, also for type checking."""
    modules = {}
    for folder in sorted(OURS - {"app", "tests"}):
        parent = ROOT / "inference_container" if folder in ("scoring", "training", "launcher") else ROOT
        for path in (parent / folder).rglob("*.py"):
            parts = path.relative_to(parent).with_suffix("").parts
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: {*imported_names(path, only_at_load=True)} & modules.keys() for name, path in modules.items()}


def import_cycle(imported: dict[str, set[str]]) -> list[str]:
    """Return a cycle of modules that ends with its first module, or an empty list."""
    finished: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name not in finished:
            for other in sorted(imported[name]):
                if cycle := visit(other, [*trail, name]):
                    return cycle
            finished.add(name)
        return []

    return next((cycle for name in sorted(imported) if (cycle := visit(name, []))), [])


def test_an_import_cycle_is_found() -> None:
    assert import_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert import_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_imports_are_found_in_every_statement(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        """
if a: import m0
else: import m1
for a in b: import m2
while a: import m3
try: import m4
except E: import m5
else: import m6
finally: import m7
with a: import m8
match a:
    case 1: import m9
class C:
    import m10
    async def f(self): import m11
def f():
    class D: import m12
""",
        encoding="utf-8",
    )
    assert set(imported_modules(path)) == {f"m{number}" for number in range(13)}
    assert set(imported_names(path, only_at_load=True)) == {f"m{number}" for number in range(11)}
