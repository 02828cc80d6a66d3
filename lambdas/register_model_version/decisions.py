"""Check a trained artifact against its spec, and decide about promotion. Pure functions, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass

from contract.catalog.models import CurrentChange, Model, ModelVersion, VersionDecision
from contract.status import VersionState
from contract.training.recipes import Promotion
from contract.training.training_spec import TrainingReport, TrainingSpec
from lambdas.shown_text import shorten

_FEW_ROWS = 10
"""Held-out rows of a class below which metrics depend on chance."""
_SHOWN_REASON = 100
"""Characters of a rollback's reason in a verdict, whose own length is limited."""

_EQUAL_FIELDS = (
    "execution_id",
    "job_id",
    "model_id",
    "version",
    "trainer",
    "task",
    "format",
    "model_file",
    "method",
    "metric",
)


def check_artifact(spec: TrainingSpec, report: TrainingReport, files: Mapping[str, int]) -> list[str]:
    """Return how the artifact differs from its spec.

    `files` are the sizes of its files, by path.
    """
    problems = [
        f"{name} is {getattr(report, name)!r}, expected {getattr(spec, name)!r}"
        for name in _EQUAL_FIELDS
        if getattr(report, name) != getattr(spec, name)
    ]
    if report.features != spec.features:
        problems.append(f"features are {_features(report)}, expected {_features(spec)}")
    if spec.output_columns and report.output_columns != spec.output_columns:
        problems.append(f"output_columns are {list(report.output_columns)}, expected {list(spec.output_columns)}")
    size = files.get(spec.model_file)
    if size is None:
        problems.append(f"it does not contain the file {spec.model_file!r}")
    elif size != report.model_bytes:
        problems.append(f"{spec.model_file!r} has {size:,} bytes, its report says {report.model_bytes:,}")
    return problems


def _features(has_features: TrainingSpec | TrainingReport) -> str:
    return ", ".join(f"{feature.name}:{feature.type}" for feature in has_features.features)


@dataclass(frozen=True)
class Verdict:
    """The state of a new version. `reason` has all numbers that the decision is based on."""

    state: VersionState
    reason: str


@dataclass(frozen=True)
class _RuleResult:
    """The result of one promotion rule: whether it holds, or None when there is nothing to compare."""

    holds: bool | None
    text: str


def decide(promotion: Promotion, report: TrainingReport, model: Model | None, current: ModelVersion | None) -> Verdict:
    """Decide by the promotion rule of its recipe whether a version is promoted.

    `model` is the model before, None when it is new, and `current` the record of its current
    version, None when it has none.
    """
    current_version = model.current_version if model is not None else None
    results = [
        _compare_with_floor(promotion, report),
        _compare_with_current(promotion, report, current_version, current),
    ]
    text = " and ".join(result.text for result in results if result.text)
    if promotion.mode == "approval":
        return Verdict(VersionState.PENDING_APPROVAL, f"waits for approval: {text}")
    if any(result.holds is False for result in results):
        return Verdict(VersionState.REJECTED, text)
    if report.metric_value is None:
        return Verdict(VersionState.PENDING_APPROVAL, f"waits for approval, because no rule can decide: {text}")
    if current_version is not None and all(result.holds is None for result in results):
        return Verdict(VersionState.PENDING_APPROVAL, f"waits for approval, because no rule can decide: {text}")
    if model is not None and model.set_back is not None:
        return Verdict(
            VersionState.PENDING_APPROVAL, f"waits for approval, because {_set_back(model.set_back)}: {text}"
        )
    return Verdict(VersionState.PROMOTED, text)


def _set_back(change: CurrentChange) -> str:
    reason = shorten(change.reason, _SHOWN_REASON)
    return f"the model was set back to version {change.version} ({reason}) and nobody has chosen another since"


def _compare_with_floor(promotion: Promotion, report: TrainingReport) -> _RuleResult:
    if report.metric_value is None:
        return _RuleResult(None, f"the training measured no {report.metric}")
    if promotion.floor is None:
        return _RuleResult(None, f"{report.metric} {report.metric_value:.6g}, no floor")
    holds = _at_least(report, report.metric_value, promotion.floor)
    return _RuleResult(
        holds, f"{report.metric} {report.metric_value:.6g} {_sign(report, holds)} floor {promotion.floor:g}"
    )


def _compare_with_current(
    promotion: Promotion, report: TrainingReport, current_version: str | None, current: ModelVersion | None
) -> _RuleResult:
    if current_version is None:
        return _RuleResult(None, "no version before")
    value = current.metrics.get(report.metric) if current is not None else None
    if value is None:
        return _RuleResult(None, f"current version {current_version} has no {report.metric}")
    if report.metric_value is None:
        return _RuleResult(None, f"current version {current_version} has {value:.6g}")
    gain = promotion.min_improvement
    holds = _at_least(report, report.metric_value, value + gain if report.greater_is_better else value - gain)
    operator = "+" if report.greater_is_better else "-"
    return _RuleResult(
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


def outcome(model_id: str, version: str, verdict: Verdict) -> str:
    """Return the outcome text for the job's record, with the command that decides if somebody must."""
    words = {
        VersionState.PROMOTED: "is current now",
        VersionState.REJECTED: "was rejected",
        VersionState.PENDING_APPROVAL: "was registered",
    }
    text = f"version {version} {words[verdict.state]}: {verdict.reason}"
    if verdict.state is not VersionState.PENDING_APPROVAL:
        return text
    return f"{text}. To make it current: `fleetscore models approve {model_id} {version}`"


def unchanged_outcome(version: str, decision: VersionDecision | None, current_version: str) -> str:
    """Return the outcome text of a job that trained nothing.

    A version that was promoted and is not current any more says so, as after a rollback.
    """
    state = f", which is {decision.state.value}" if decision is not None else ""
    if decision is not None and decision.state is VersionState.PROMOTED and version != current_version:
        state = f", which was promoted, but is not current: {current_version or 'none'} is"
    return (
        f"no new version: objects, recipe, seed and image are unchanged since version {version}{state}. "
        "train_unchanged (fleetscore train --force) trains nevertheless"
    )


def notes_on(report: TrainingReport) -> list[str]:
    """Return what people should know about the metrics."""
    rarest = report.rarest_class_held_out
    if rarest is None or rarest >= _FEW_ROWS:
        return []
    note = (
        f"only {rarest:,} of {report.rows_held_out or 0:,} held-out rows have the rarest class, so the metrics depend "
        "on chance: add rows of it, raise holdout_fraction, or set a validation_dataset"
    )
    return [note]
