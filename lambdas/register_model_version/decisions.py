"""Whether an artifact is the one that was asked for, and whether its version is promoted: decisions
without any I/O."""

from collections.abc import Mapping
from dataclasses import dataclass

from contract.catalog.models import ModelVersion
from contract.status import VersionState
from contract.training.recipes import Promotion
from contract.training.training_spec import TrainingReport, TrainingSpec

_SAME = ("execution_id", "job_id", "model_id", "version", "trainer", "task", "format", "model_file", "method", "metric")


def check_artifact(spec: TrainingSpec, report: TrainingReport, files: Mapping[str, int]) -> list[str]:
    """What of an artifact is not as the spec asked for; `files` are the sizes of the files in it."""
    problems = [
        f"{name} is {getattr(report, name)!r}, expected {getattr(spec, name)!r}"
        for name in _SAME
        if getattr(report, name) != getattr(spec, name)
    ]
    if report.features != spec.features:
        problems.append(f"features are {_features(report)}, expected {_features(spec)}")
    if spec.output_columns and report.output_columns != spec.output_columns:
        problems.append(f"output_columns are {list(report.output_columns)}, expected {list(spec.output_columns)}")
    size = files.get(spec.model_file)
    if size is None:
        problems.append(f"it holds no file {spec.model_file!r}")
    elif size != report.model_bytes:
        problems.append(f"{spec.model_file!r} has {size:,} bytes, its report says {report.model_bytes:,}")
    return problems


def _features(has_features: TrainingSpec | TrainingReport) -> str:
    return ", ".join(f"{feature.name}:{feature.type}" for feature in has_features.features)


@dataclass(frozen=True)
class Decided:
    """`reason` tells a person all that the decision rests on."""

    state: VersionState
    reason: str


@dataclass(frozen=True)
class _Comparison:
    """What a rule says about a version: whether it holds, or None where nothing can be compared."""

    holds: bool | None
    said: str


def decide(
    promotion: Promotion, report: TrainingReport, current_version: str | None, current: ModelVersion | None
) -> Decided:
    """What becomes of a version, by its recipe's rule.

    `current` is the record of the model's current version; None when there is none.
    """
    found = [_floor(promotion, report), _current(promotion, report, current_version, current)]
    said = " and ".join(comparison.said for comparison in found if comparison.said)
    if promotion.mode == "approval":
        return Decided(VersionState.PENDING_APPROVAL, f"waits for approval: {said}")
    if any(comparison.holds is False for comparison in found):
        return Decided(VersionState.REJECTED, said)
    if report.metric_value is None:
        return Decided(VersionState.PENDING_APPROVAL, f"waits for approval, because no rule can decide: {said}")
    if current_version is not None and all(comparison.holds is None for comparison in found):
        return Decided(VersionState.PENDING_APPROVAL, f"waits for approval, because no rule can decide: {said}")
    return Decided(VersionState.PROMOTED, said)


def _floor(promotion: Promotion, report: TrainingReport) -> _Comparison:
    if report.metric_value is None:
        return _Comparison(None, f"the training measured no {report.metric}")
    if promotion.floor is None:
        return _Comparison(None, f"{report.metric} {report.metric_value:.6g}, no floor")
    holds = _at_least(report, report.metric_value, promotion.floor)
    return _Comparison(
        holds, f"{report.metric} {report.metric_value:.6g} {_sign(report, holds)} floor {promotion.floor:g}"
    )


def _current(
    promotion: Promotion, report: TrainingReport, current_version: str | None, current: ModelVersion | None
) -> _Comparison:
    if current_version is None:
        return _Comparison(None, "no current version")
    value = current.metrics.get(report.metric) if current is not None else None
    if value is None:
        return _Comparison(None, f"current version {current_version} has no {report.metric}")
    if report.metric_value is None:
        return _Comparison(None, f"current version {current_version} has {value:.6g}")
    gain = promotion.min_improvement
    holds = _at_least(report, report.metric_value, value + gain if report.greater_is_better else value - gain)
    operator = "+" if report.greater_is_better else "-"
    return _Comparison(
        holds,
        f"{report.metric_value:.6g} {_sign(report, holds)} current {value:.6g} {operator} {gain:g} "
        f"(version {current_version})",
    )


def _at_least(report: TrainingReport, value: float, bound: float) -> bool:
    return value >= bound if report.greater_is_better else value <= bound


def _sign(report: TrainingReport, holds: bool) -> str:
    if holds:
        return ">=" if report.greater_is_better else "<="
    return "<" if report.greater_is_better else ">"


def outcome(version: str, decided: Decided) -> str:
    """What the job's record says came of it."""
    words = {
        VersionState.PROMOTED: "is current now",
        VersionState.REJECTED: "was refused",
        VersionState.PENDING_APPROVAL: "was registered",
    }
    return f"version {version} {words[decided.state]}: {decided.reason}"
