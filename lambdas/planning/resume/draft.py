"""Draft what a resumed execution scores, and which commits its jobs keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from contract.catalog.model_spec import ModelSpec
from contract.checks import raise_if_any
from contract.job.scored_before import output_digests
from contract.job.scoring_spec import JobSource, PinnedObject
from contract.workflow.request_check import ResumeCounts, ScoredBefore
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.planning.resume.choose import choose_again
from lambdas.planning.resume.coverage import MAX_COUNTED, Coverage, Scorer, read_coverage
from lambdas.planning.resume.earlier import EarlierJobs, read_earlier_jobs
from lambdas.planning.resume.lineage import OldExecution, inherited_request, read_lineage
from lambdas.planning.resume.old_jobs import OldJob, objects_of_datasets, read_old_jobs
from lambdas.planning.scoring.assignments import ChosenFleet
from lambdas.planning.scoring.choose_models import Choice
from lambdas.planning.scoring.form_jobs import JobForming, PlannedJob, form_jobs
from lambdas.planning.scoring.pin_datasets import Snapshots
from lambdas.shown_text import list_first
from lambdas.stage.activity import Activity
from lambdas.stage.deployment import Deployment

_LISTED = 3


@dataclass(frozen=True)
class Resumption(EarlierJobs):
    """The old executions, and what of them is scored again or kept. The request has values of the old ones."""

    choice: Choice
    objects: Mapping[str, Mapping[str, PinnedObject]]
    """The objects that the resumed execution pinned of each dataset, by key."""
    notes: tuple[str, ...]
    newest: OldExecution


def read_resumption(request: ExecutionRequest, deployment: Deployment, activity: Activity) -> Resumption:
    """Read what an execution with `resume` in its request continues.

    Raises:
        InvalidInputError: when the execution cannot be resumed.
        ResumedJobRunningError: when one of its SageMaker jobs has not ended.
    """
    assert request.resume is not None  # noqa: S101 - callers have checked it
    lineage = read_lineage(request.resume, deployment, activity)
    inherited, notes = inherited_request(request, lineage)
    if inherited.deadline is None and lineage[0].record.deadline_at > deployment.now():
        inherited = replace(inherited, deadline=lineage[0].record.deadline_at)
    with_names = replace(inherited, models=request.models, fleets=request.fleets)
    choice, left_out = choose_again(with_names, lineage[0].jobs, deployment)
    raise_if_any(list(choice.problems), "request")
    specs = {reader.version.spec.model_id: reader.version.spec for reader in choice.readers}
    old_jobs = read_old_jobs(lineage, specs, deployment.store)
    if any(old.record.keeps_scored for old in lineage):
        # It may have been stopped before it copied what it keeps.
        known = {job.source for job in old_jobs}
        earlier = read_earlier_jobs(inherited, choice, deployment, activity)
        old_jobs += [job for job in earlier.old_jobs if job.source not in known]
    objects, problems = objects_of_datasets(lineage[0], old_jobs, choice.datasets, deployment.store)
    raise_if_any(problems, "request")
    own = [job for job in old_jobs if not job.is_fleet]
    if own:
        inherited = replace(inherited, output_layout=own[0].requested_layout, joined_nulls=own[0].joined_nulls)
    return Resumption(inherited, tuple(old_jobs), choice, objects, (*notes, *left_out), lineage[0])


def jobs_that_keep(
    earlier: EarlierJobs,
    forming: JobForming,
    snapshots: Snapshots,
    deployment: Deployment,
) -> tuple[list[PlannedJob], Coverage]:
    """Return the jobs, each with the old jobs whose commits it may keep, and what is scored already."""
    request = earlier.request
    is_joined = request.output_layout == "joined"
    # Models that share an output must be the same as before, unless the request says how many share a job.
    is_resumed = not request.keep_scored
    groups = earlier.groups() if is_resumed and is_joined and not isinstance(request.models_per_job, int) else None
    scorers = {
        model.model_id: Scorer(model, job.dataset, _digests(job)[model.model_id])
        for job in form_jobs(forming.groups(groups))
        for model in job.committing_models
    }
    objects = {dataset: snapshot.objects for dataset, snapshot in snapshots.by_dataset.items()}
    coverage = read_coverage(scorers, objects, earlier.old_jobs, deployment.store, check_outputs=not is_resumed)
    if not is_joined:
        # A job scores an object with all of its models, also if only one lacks it.
        groups = {model_id: coverage.group(model_id) for model_id in scorers}
    left = {name: _share_left(coverage, name) for name in scorers}
    jobs = forming.jobs(groups, left)
    order = {source: number for number, source in enumerate(coverage.sources)}
    return [_with_sources(job, coverage, order) for job in jobs], coverage


def _share_left(coverage: Coverage, name: str) -> float:
    pairs = max(1, coverage.pairs(name))
    # Uncounted commits may be missing, so the job may need an instance.
    least = 0.0 if coverage.is_exact else 1 / pairs
    return max(least, 1 - coverage.kept(name) / pairs)


def _digests(job: PlannedJob) -> dict[str, str]:
    fleet: ChosenFleet | None = job.fleet
    return output_digests(
        job.models, job.output_layout, joined_nulls=job.joined_nulls, fleet=None if fleet is None else fleet.spec
    )


def _with_sources(job: PlannedJob, coverage: Coverage, order: Mapping[JobSource, int]) -> PlannedJob:
    """Return a job and its parts with the old jobs whose commits they may keep, newest first.

    `order` has the place of each old job.
    """
    found = (source for model in job.committing_models for source in coverage.useful.get(model.model_id, ()))
    sources: tuple[JobSource, ...] = tuple(sorted(dict.fromkeys(found), key=order.__getitem__))
    return replace(job, sources=sources, parts=tuple(replace(part, sources=sources) for part in job.parts))


def count(coverage: Coverage) -> ResumeCounts:
    """Return how many commits are kept, scored again, and missing."""
    expected = sum(map(coverage.pairs, coverage.scorers))
    kept, again = sum(map(coverage.kept, coverage.scorers)), sum(map(coverage.again, coverage.scorers))
    return ResumeCounts(expected, kept, again, expected - kept - again, coverage.is_exact)


def image_notes(coverage: Coverage, old_jobs: Sequence[OldJob], images: Mapping[str, str]) -> list[str]:
    """Return a note about models whose kept commits another image has scored: its libraries may differ.

    `images` are the URIs of the images that score the models now, by id.
    """
    before = {job.source: job.image_uri for job in old_jobs}
    other = sorted(
        model_id
        for model_id, sources in coverage.useful.items()
        if any(before[source] not in ("", images[model_id]) for source in sources)
    )
    if not other:
        return []
    kept = sum(map(coverage.kept, other))
    listed = list_first(other, _LISTED)
    return [f"up to {kept:,} of the kept commits were scored by another image, of {len(other):,} models: {listed}"]


def scored_before(coverage: Coverage, jobs: Sequence[PlannedJob]) -> tuple[ScoredBefore, ...]:
    """Return for each model and fleet how many objects are scored already."""
    fleets = {model.model_id for job in jobs if job.fleet is not None for model in job.committing_models}
    return tuple(
        ScoredBefore(
            id=name,
            version=scorer.spec.version,
            is_fleet=name in fleets,
            dataset=scorer.dataset,
            objects=coverage.pairs(name),
            scored=coverage.kept(name),
        )
        for name, scorer in coverage.scorers.items()
    )


def kept_notes(earlier: EarlierJobs, coverage: Coverage) -> list[str]:
    """Return notes for people on what an execution keeps of earlier ones, and what it scores again."""
    counts, executions = count(coverage), {job.source.execution_id for job in earlier.old_jobs}
    text = f"commits of {len(executions):,} earlier executions: {counts.kept:,} of {counts.expected:,} kept, "
    text += f"{counts.again:,} scored again, {counts.missing:,} not committed yet"
    if coverage.is_by_record:
        text += f". They are more than {MAX_COUNTED:,}, so only those of jobs that succeeded without "
        text += "rows in quarantine are counted here"
    return [text, *_changed_models(earlier, coverage)]


def resume_notes(resumption: Resumption, coverage: Coverage, snapshots: Snapshots) -> list[str]:
    """Return notes for people on what the execution keeps, what it scores again, and why."""
    counts, old = count(coverage), resumption.newest.execution_id
    text = f"commits of {old}: {counts.kept:,} of {counts.expected:,} kept, "
    text += f"{counts.again:,} scored again, {counts.missing:,} not committed yet"
    if not counts.is_exact:
        text = f"commits of {old}: at most {counts.kept:,} of {counts.expected:,} kept; they are too many to count here"
    return [text, *_changed_models(resumption, coverage), *_changed_objects(resumption, snapshots), *resumption.notes]


def moved_datasets(resumption: Resumption, snapshots: Snapshots) -> tuple[str, ...]:
    """Return the datasets that lost objects and got others, such as by compaction, since the first plan."""
    found = set(resumption.newest.record.moved_datasets)
    for dataset, old in resumption.objects.items():
        now = {item.key for item in snapshots.by_dataset[dataset].objects}
        if snapshots.others.get(dataset) and old.keys() - now:
            found.add(dataset)
    return tuple(sorted(found & resumption.objects.keys()))


def _changed_models(earlier: EarlierJobs, coverage: Coverage) -> list[str]:
    reasons: dict[str, str] = {}
    for job in earlier.old_jobs:
        for model_id, version in job.versions.items():
            scorer = coverage.scorers.get(model_id)
            if scorer is None or model_id in reasons or coverage.kept(model_id) or not coverage.again(model_id):
                continue
            if job.digests.get(model_id) != scorer.digest:
                reasons[model_id] = f"{model_id!r}: {_why(job, model_id, version, scorer.spec)}"
    notes = [f"scored again: {list_first(list(reasons.values()), separator='; ')}"] if reasons else []
    if others := sum(map(coverage.quarantined, coverage.scorers)):
        why = "because the version has another name now, or fewer such rows are tolerated"
        notes.append(f"commits with rows in quarantine are scored again ({others:,}), {why}")
    return notes


def _why(job: OldJob, model_id: str, version: str, now: ModelSpec) -> str:
    if job.is_fleet:
        return "the fleet, its models or their versions have changed"
    if fields := job.changes[model_id]:
        return f"{list_first(fields, _LISTED)} changed between versions {version!r} and {now.version!r}"
    if job.requested_layout == "joined":
        return "the models that share the output have changed"
    return "this release scores in another way"


def _changed_objects(resumption: Resumption, snapshots: Snapshots) -> list[str]:
    removed: list[str] = []
    replaced: list[str] = []
    for dataset, old in resumption.objects.items():
        now = {item.key: item for item in snapshots.by_dataset[dataset].objects}
        removed += [f"{dataset}/{key}" for key in old if key not in now]
        replaced += [f"{dataset}/{key}" for key, item in now.items() if old[key] != item]
    notes = []
    if removed:
        listed = list_first(removed, _LISTED)
        notes.append(f"objects that were removed since are not scored ({len(removed):,}): {listed}")
    if replaced:
        listed = list_first(replaced, _LISTED)
        notes.append(f"objects that were replaced since are scored as they are now ({len(replaced):,}): {listed}")
    if added := sum(snapshots.others.values()):
        notes.append(f"objects that were added since are not part of this execution ({added:,})")
    if moved := moved_datasets(resumption, snapshots):
        notes.append(
            f"these predictions do not become the latest ones of {list_first(list(moved), _LISTED)}, which lost "
            "objects and got others: rows may have moved. Start a new execution to score all"
        )
    return notes
