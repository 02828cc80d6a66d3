"""Draft a request as its plan would, and report the jobs or the problems. Nothing is written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from contract.checks import raise_if_any
from contract.problems import InvalidInputError, Problem, list_problems
from contract.status import ExecutionKind
from contract.table.records import JobRecord
from contract.training.recipes import ModelRecipe
from contract.workflow.messages import PlanInput
from contract.workflow.request_check import MAX_LISTED_JOBS, CheckedJob, CheckInput, ExpectedCapacity, RequestCheck
from contract.workflow.scoring_request import ExecutionRequest, TrainFirst, parse_request
from contract.workflow.training_request import TrainingRequest, parse_training_request
from lambdas.errors import ResumedJobRunningError
from lambdas.planning.recipe_choice import check_training_input, choose_to_train
from lambdas.planning.scoring.choose_models import choose_from_catalog
from lambdas.planning.scoring.draft import ScoringDraft, draft_scoring
from lambdas.planning.scoring.form_jobs import PlannedJob
from lambdas.planning.training.decisions import PlannedTraining
from lambdas.planning.training.draft import draft_training
from lambdas.shown_text import list_first
from lambdas.stage.activity import Activity
from lambdas.stage.deployment import Deployment
from lambdas.stage.settings import PlanDefaults

_NAME = "check"
"""Name of the execution in the draft. It is not written, and the check does not depend on it."""


def check_request(
    event: CheckInput, deployment: Deployment, defaults: PlanDefaults, activity: Activity
) -> RequestCheck:
    """Return the jobs that an execution with this request would run now, or its problems."""
    try:
        if event.kind is ExecutionKind.TRAINING:
            jobs = _draft_training(parse_training_request(event.request), deployment, defaults)
            return _report(jobs, ScoringDraft((), {}), event, deployment)
        request = parse_request(event.request)
        if request.train is None:
            return _report([], draft_scoring(request, deployment, defaults, activity), event, deployment)
        return _check_both(request, event, deployment, defaults, activity)
    except InvalidInputError as error:
        return _refusal(error.problems)
    except ResumedJobRunningError as error:
        return RequestCheck(problems=(str(error),), problem_count=1)


def _check_both(
    request: ExecutionRequest, event: CheckInput, deployment: Deployment, defaults: PlanDefaults, activity: Activity
) -> RequestCheck:
    """Check a request that trains first, with the problems of both parts."""
    train = request.train or TrainFirst()
    recipes, problems = choose_to_train(request, train, deployment.table)
    raise_if_any([*problems, *check_training_input(recipes, event.request)], "request")
    trainings: list[PlannedTraining] = []
    notes: list[str] = []
    try:
        models = tuple(sorted(recipe.model_id for recipe in recipes))
        trainings = _draft_training(
            TrainingRequest(models=models, train_unchanged=train.train_unchanged), deployment, defaults
        )
    except InvalidInputError as error:
        if train.continue_on_failure:
            first = str(error.problems[0])
            notes.append(f"the training would fail, and scoring continue with the current versions: {first}")
        else:
            problems += error.problems
    scoring, untrained = _without_untrained(request, recipes, deployment)
    if untrained:
        listed = list_first(untrained)
        notes.append(f"models without a current version, which only the training can give them: {listed}")
    draft = ScoringDraft((), {})
    try:
        draft = draft if scoring is None else draft_scoring(scoring, deployment, defaults, activity)
    except InvalidInputError as error:
        problems += error.problems
    raise_if_any(problems, "request")
    report = _report(trainings, draft, event, deployment)
    return replace(report, notes=(*notes, *report.notes))


def _without_untrained(
    request: ExecutionRequest, recipes: Sequence[ModelRecipe], deployment: Deployment
) -> tuple[ExecutionRequest | None, list[str]]:
    """Return the request without models that have no version before they are trained, and these.

    None when no other model is left.
    """
    trained = [recipe.model_id for recipe in recipes]
    known = deployment.table.models(trained)
    current = deployment.table.current_versions(list(known.values()))
    untrained = [model_id for model_id in trained if model_id not in current]
    if request.fleets is not None:
        # The training may give a fleet its only models, or the one for unmatched rows.
        fleets = tuple(set(request.fleets) - {recipe.fleet for recipe in recipes if recipe.model_id in untrained})
        request = replace(request, fleets=tuple(sorted(fleets)) or None)
        if request.fleets is None and request.models is None:
            return None, untrained
    if isinstance(request.models, tuple):
        models = tuple(model_id for model_id in request.models if model_id not in untrained)
        left = replace(request, models=models or None)
        return (left if models or request.fleets else None), untrained
    if request.models is None and request.fleets is not None:
        return request, untrained
    _, none_left = choose_from_catalog(request.models, deployment.table.all_models())
    return (None if untrained and none_left else request), untrained


def _draft_training(request: TrainingRequest, deployment: Deployment, defaults: PlanDefaults) -> list[PlannedTraining]:
    event = PlanInput(_NAME, _NAME, deployment.now(), None)
    return draft_training(event, request, deployment, defaults)


def _report(
    trainings: Sequence[PlannedTraining], draft: ScoringDraft, event: CheckInput, deployment: Deployment
) -> RequestCheck:
    records = [job.record("", "") for job in trainings] + [job.record(_NAME, "") for job in draft.jobs]
    most = len(records) if event.all_jobs else MAX_LISTED_JOBS
    listed = [_listed(record) for record in records[: min(len(trainings), most)]]
    listed += map(_listed_scoring, draft.jobs[: most - len(listed)])
    objects: dict[tuple[str, str], int] = {}
    for training in trainings:
        spec = training.spec
        objects |= _sizes(spec.dataset, {item.key: item.size for item in spec.objects})
        validation = training.recipe.validation_dataset or ""
        objects |= _sizes(validation, {item.key: item.size for item in spec.validation_objects})
    read: set[str] = set()
    for job in draft.jobs:
        # Jobs over one dataset share its objects.
        if job.dataset not in read:
            read.add(job.dataset)
            objects |= _sizes(job.dataset, {item.key: item.size for item in job.objects})
    return RequestCheck(
        training_job_count=len(trainings),
        job_count=len(draft.jobs),
        model_count=len({model_id for record in records if not record.fleet for model_id in record.model_ids})
        + sum(record.fleet_models for record in records),
        dataset_count=len({dataset for dataset, _ in objects}),
        object_count=len(objects),
        input_bytes=sum(objects.values()),
        jobs=tuple(listed),
        notes=(*_unchanged(trainings), *_notes(draft)),
        resume=draft.resume_counts,
        scored_before=draft.scored_before,
        expected=_expected(draft, deployment.now()),
    )


def _expected(draft: ScoringDraft, planned_at: str) -> ExpectedCapacity | None:
    figures = draft.estimate
    if draft.capacity is None or figures is None:
        return None
    plan, quotas = draft.capacity.plan, draft.capacity.basis.quotas
    return ExpectedCapacity(
        planned_at=planned_at,
        figures=figures,
        deadline_at=draft.deadline_at,
        quotas={name: quotas[name] for name in figures.quota_needed if name in quotas},
        alternatives=() if plan is None else plan.alternatives,
    )


def _unchanged(trainings: Sequence[PlannedTraining]) -> list[str]:
    unchanged = [training.recipe.model_id for training in trainings if training.unchanged_since]
    if not unchanged:
        return []
    listed = list_first(unchanged)
    return [f"models that are not trained again, because nothing has changed since their last version: {listed}"]


def _sizes(dataset: str, sizes: Mapping[str, int]) -> dict[tuple[str, str], int]:
    return {(dataset, key): size for key, size in sizes.items()}


def _listed(record: JobRecord) -> CheckedJob:
    return CheckedJob(
        kind=record.kind,
        job_id=record.job_id,
        dataset=record.dataset,
        models=record.fleet_models or len(record.model_ids),
        objects=record.object_count,
        input_bytes=record.input_bytes,
        instance_type=record.compute.instance_type or "",
        instance_count=record.compute.instance_count or 1,
    )


def _listed_scoring(job: PlannedJob) -> CheckedJob:
    listed = _listed(job.record(_NAME, ""))
    expected = job.expected
    return replace(
        listed,
        parts=len(job.parts),
        volume_gb=job.compute.volume_size_gb or 0,
        seconds=None if expected is None else expected.seconds,
        rows=None if expected is None else expected.rows,
        cost=None if expected is None else expected.cost,
    )


def _notes(draft: ScoringDraft) -> Iterable[str]:
    yield from draft.resume_notes
    yield from draft.notes
    if draft.skipped:
        listed = list_first([f"{key} ({why})" for key, why in draft.skipped.items()], 3)
        yield f"objects of the manifest that are not scored: {listed}"


def _refusal(problems: Sequence[Problem]) -> RequestCheck:
    return RequestCheck(problems=tuple(list_problems(problems)), problem_count=len(problems))
