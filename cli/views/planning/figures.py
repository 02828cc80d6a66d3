"""What an execution was expected to take, and what it has used."""

from cli.stage.executions.execution_snapshot import Snapshot
from contract.planner.figures import ActualFigures, PlanFigures
from contract.planner.texts import band_text, cost_text, duration_text, instance_hours_text


def figures_lines(snapshot: Snapshot) -> list[str]:
    """Return the estimate of the execution's plan, and what was used after the end."""
    record = snapshot.record
    if record is None or record.estimate is None:
        return []
    estimate, actual = record.estimate, record.actual
    lines = [f"Estimate: {band_text(estimate.seconds)}, {_used_text(estimate)}"]
    if actual is not None:
        share = f", {actual.seconds / estimate.seconds.value:,.0%} of the estimate" if estimate.seconds.value else ""
        lines.append(f"Used: {duration_text(actual.seconds)}{share}, {_used_text(actual)}")
    return lines


def _used_text(figures: PlanFigures | ActualFigures) -> str:
    """Return SageMaker jobs, instance-hours and cost."""
    jobs = "1 SageMaker job" if figures.jobs == 1 else f"{figures.jobs:,} SageMaker jobs"
    cost = "no price known" if figures.cost is None else cost_text(figures.cost)
    return f"{jobs}, {instance_hours_text(figures.instance_hours)}, {cost}"
