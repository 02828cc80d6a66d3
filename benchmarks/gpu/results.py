"""What the check found, as JSON and as the table of `benchmarks/README.md`."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

Status = Literal["passed", "failed", "skipped"]
_COLUMNS = (
    "format",
    "device",
    "rows/s",
    "rows/s on a CPU core",
    "job, s",
    "job on the CPU, s",
    "largest difference",
    "batch that ran out of memory, rows",
    "smallest batch after it",
)


@dataclass(frozen=True)
class Part:
    """One part of the check, of one format."""

    format: str
    part: str
    status: Status
    reason: str = ""
    """Why it failed or was skipped."""
    found: dict[str, Any] = field(default_factory=dict)


@dataclass
class Results:
    """All parts, and the machine that they ran on."""

    machine: dict[str, Any]
    parts: list[Part] = field(default_factory=list)

    def add(self, part: Part) -> None:
        self.parts.append(part)
        print(f"{part.status:8}{part.format}: {part.part}{': ' + part.reason if part.reason else ''}", flush=True)

    @property
    def failed(self) -> bool:
        return any(part.status == "failed" for part in self.parts)

    def of(self, name: str, part: str) -> dict[str, Any]:
        """Return what a part found; empty if it was skipped."""
        return next((item.found for item in self.parts if (item.format, item.part) == (name, part)), {})

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        content = {"machine": self.machine, "parts": [asdict(part) for part in self.parts]}
        (folder / "gpu.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (folder / "gpu.md").write_text(self.markdown(), encoding="utf-8")

    def markdown(self) -> str:
        """Return the table, then the parts that failed or were skipped."""
        lines = [
            f"{self.machine['summary']}.",
            "",
            f"| {' | '.join(_COLUMNS)} |",
            f"|{'---|' * len(_COLUMNS)}",
        ]
        for name in dict.fromkeys(part.format for part in self.parts):
            predicted, job, tight = (self.of(name, part) for part in ("predictions", "job", "out of memory"))
            if not predicted:
                continue
            cells = [
                name,
                predicted["device"],
                f"{predicted['rows_per_second']:,}",
                f"{predicted['cpu_rows_per_second']:,}",
                job.get("seconds", ""),
                job.get("cpu_seconds", ""),
                f"{predicted['largest_difference']:.1e}" if "largest_difference" in predicted else "",
                *(f"{value:,}" if value else "" for value in (tight.get("batch_rows"), tight.get("smallest_batch"))),
            ]
            lines.append(f"| {' | '.join(map(str, cells))} |")
        left = [part for part in self.parts if part.status != "passed"]
        lines += ["", *(f"- {part.format}, {part.part}: {part.status}: {part.reason}" for part in left)]
        return "\n".join(lines).rstrip() + "\n"


@dataclass(frozen=True)
class Difference:
    """How far predictions are from others."""

    largest: float
    """Largest absolute difference."""
    problem: str
    """Empty if all are within the tolerance."""


def difference(found: Any, expected: Any, relative: float, absolute: float) -> Difference:
    """Compare predictions: `|found - expected| <= absolute + relative * |expected|` for each row."""
    if len(found) != len(expected):
        return Difference(float("inf"), f"{len(found):,} predictions, expected {len(expected):,}")
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    distances = np.abs(found - expected)
    wrong = int((~(distances <= absolute + relative * np.abs(expected))).sum())
    largest = float(distances.max()) if np.isfinite(distances).all() else float("inf")
    if not wrong:
        return Difference(largest, "")
    row = int(np.argmax(np.where(np.isfinite(distances), distances, np.inf)))
    return Difference(
        largest,
        f"{wrong:,} of {len(found):,} predictions differ from the CPU's by more than {relative:g} of the value plus "
        f"{absolute:g}; in row {row} it is {found[row]!r} and not {expected[row]!r}",
    )
