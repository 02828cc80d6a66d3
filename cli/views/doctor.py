"""Shows the findings of `fleetscore doctor`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType

from cli.doctor.findings import Finding, Level
from cli.views.tables import counted, one_line, plain_text

_STYLES = {Level.OK: "", Level.WARNING: "yellow", Level.ERROR: "red"}


def findings_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the JSON value: whether the stage is ready, and every finding."""
    return {"ready": is_ready(findings), "findings": [asdict(finding) for finding in findings]}


def findings_view(findings: Sequence[Finding]) -> list[RenderableType]:
    """Return a line per finding, the most serious last, what to do about them, and their number."""
    lines: list[RenderableType] = []
    width = max(len(finding.check) for finding in findings) + 2
    for finding in sorted(findings, key=lambda finding: list(Level).index(finding.level)):
        text = f"{finding.level.value:<8}{finding.check:<{width}}{finding.subject}: {finding.found}"
        lines.append(plain_text(one_line(text), _STYLES[finding.level]))
        if finding.remedy:
            lines.append(plain_text(one_line(f"{'':<{8 + width}}To do: {finding.remedy}")))
    numbers = Counter(finding.level for finding in findings)
    verdict = "The stage is ready." if is_ready(findings) else "The stage is not ready."
    bad = [counted(numbers[Level.WARNING], "warning"), counted(numbers[Level.ERROR], "error")]
    return [*lines, "", f"{verdict} {numbers[Level.OK]:,} ok, {', '.join(bad)}."]


def is_ready(findings: Sequence[Finding]) -> bool:
    """Return whether no finding is an error."""
    return all(finding.level is not Level.ERROR for finding in findings)
