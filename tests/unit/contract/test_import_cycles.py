"""The packages of the contract import each other without cycles."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[3] / "contract"


def test_packages_of_the_contract_have_no_import_cycle() -> None:
    imports: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        package = _package("contract." + ".".join(path.relative_to(ROOT).with_suffix("").parts))
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        targets = {
            _package(f"{node.module}.{alias.name}") if node.module == "contract" else _package(node.module or "")
            for node in nodes
            for alias in node.names
            if (node.module or "").startswith("contract")
        }
        imports.setdefault(package, set()).update(targets - {package})
    order = list(TopologicalSorter(imports).static_order())
    assert order.index("contract.problems") < order.index("contract.catalog") < order.index("contract.table")


def _package(module: str) -> str:
    return ".".join(module.split(".")[:2])
