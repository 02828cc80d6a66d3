"""Write the result tables of `benchmarks/README.md` from the files in `benchmarks/results/`."""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.comparison.compare import Cell
from benchmarks.comparison.measure import Usage
from benchmarks.comparison.question import HEADER, RESULTS, rows
from benchmarks.workloads.workload import Workload

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- results: made by `python -m benchmarks.comparison.report` -->", "<!-- end of results -->"


def main() -> int:
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = [BEGIN, ""]
    for path in sorted(RESULTS.glob("*.json")):
        if path.stem.endswith("-quick"):
            continue
        cells = [_read(item) for item in json.loads(path.read_text(encoding="utf-8"))]
        parts += [f"### {path.stem}", "", HEADER]
        for cell in cells:
            parts += rows(cell, list(cell.usages))
        parts.append("")
    README.write_text(before + "\n".join([*parts, END]) + after, encoding="utf-8")
    return 0


def _read(item: dict[str, Any]) -> Cell:
    workload = item["workload"]
    objects, total = workload.pop("rows")
    sizes = (total // objects,) * (objects - 1)
    kept = Workload(**workload | {"rows": (*sizes, total - sum(sizes)), "models": tuple(workload["models"])})
    usages = {name: [Usage(**usage) for usage in found] for name, found in item["usages"].items()}
    return Cell(kept, usages)


if __name__ == "__main__":
    sys.exit(main())
