"""Draft a scoring execution in four stages: choose models, pin objects, check both, and form jobs.

The plan writes the draft down. The check of a request only reports it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from contract.checks import raise_if_any
from contract.planner.figures import PlanFigures
from contract.table.records import record_time
from contract.workflow.deadline import deadline_time
from contract.workflow.request_check import ResumeCounts, ScoredBefore
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.planning.capacity.basis import read_basis
from lambdas.planning.capacity.choose import CapacityPlanner, KeptPlan
from lambdas.planning.capacity.deadline import PlanTimes
from lambdas.planning.resume.draft import (
    count,
    image_notes,
    jobs_that_keep,
    kept_notes,
    moved_datasets,
    read_resumption,
    resume_notes,
    scored_before,
)
from lambdas.planning.resume.earlier import EarlierJobs, read_earlier_jobs
from lambdas.planning.scoring.check_fleets import find_routes
from lambdas.planning.scoring.check_models import check_models
from lambdas.planning.scoring.check_volumes import check_volumes, volume_notes
from lambdas.planning.scoring.choose_models import choose_models
from lambdas.planning.scoring.form_jobs import (
    JobForming,
    PlannedJob,
    check_commit_counts,
    check_instance_types,
    check_joined_outputs,
    instance_needs,
    split_notes,
)
from lambdas.planning.scoring.pin_datasets import pin_datasets
from lambdas.planning.scoring.upload_manifest import read_uploads
from lambdas.stage.activity import Activity
from lambdas.stage.deployment import Deployment
from lambdas.stage.settings import PlanDefaults


@dataclass(frozen=True)
class ScoringDraft:
    """The jobs of a scoring execution that is not written yet."""

    jobs: tuple[PlannedJob, ...]
    skipped: Mapping[str, str]
    """Objects of the upload manifest that are not scored, by key, each with the reason."""
    notes: tuple[str, ...] = ()
    """What may go wrong, but not for certain."""
    request: ExecutionRequest = field(default_factory=ExecutionRequest)
    """The request, with the values of the one that it resumes."""
    resume_notes: tuple[str, ...] = ()
    """What an execution keeps of earlier ones and scores again, and why."""
    resume_counts: ResumeCounts | None = None
    scored_before: tuple[ScoredBefore, ...] = ()
    """What each model and fleet has scored already, if the request keeps it."""
    moved_datasets: tuple[str, ...] = ()
    """See `ExecutionRecord.moved_datasets`."""
    capacity: CapacityPlanner | None = None
    """The planner with its plan."""
    deadline_at: str = ""
    """Time of the deadline; empty if there is none."""

    @property
    def estimate(self) -> PlanFigures | None:
        """What the plan expects."""
        return self.capacity.figures() if self.capacity else None


def draft_scoring(
    request: ExecutionRequest,
    deployment: Deployment,
    defaults: PlanDefaults,
    activity: Activity,
    *,
    times: PlanTimes | None = None,
    keep: KeptPlan | None = None,
) -> ScoringDraft:
    """Return the jobs of a request. Nothing is written, except by `keep`.

    Deadlines count from `times`; from now if there are none.

    Raises:
        InvalidInputError: with every problem of the request.
        ResumedJobRunningError: when a SageMaker job of the resumed execution has not ended.
    """
    resumption = read_resumption(request, deployment, activity) if request.resume is not None else None
    if resumption is not None:
        request = resumption.request
    if times is None:
        times = PlanTimes(deployment.clock(), deployment.clock())
    deadline = deadline_time(request.deadline, times.started_at) if request.deadline else None
    uploads = read_uploads(request, deployment.store)
    choice = choose_models(request, uploads, deployment) if resumption is None else resumption.choice
    snapshots = pin_datasets(choice, uploads, deployment, only=None if resumption is None else resumption.objects)
    problems = [*choice.problems, *snapshots.problems]
    fleets, found = find_routes(choice.fleets, snapshots.by_dataset)
    problems += found
    problems += check_models(
        choice.assignments, fleets, snapshots, defaults.image_uris, deployment, output_layout=request.output_layout
    )
    raise_if_any(problems, "request")

    planner = CapacityPlanner(
        request,
        defaults,
        read_basis(
            deployment,
            (*choice.assignments, *(fleet.assignment for fleet in fleets)),
            (request.instance_type, defaults.compute.instance_type, *defaults.planned_instance_types),
        ),
        None if deadline is None else (deadline - times.planned_at).total_seconds(),
        kept=keep,
    )
    form = JobForming(
        request, choice.assignments, snapshots.by_dataset, defaults, fleets, planner, is_planned=planner.chooses
    )
    earlier: EarlierJobs | None = resumption
    if request.keep_scored:
        earlier = read_earlier_jobs(request, choice, deployment, activity)
    jobs, coverage = (form.jobs(), None) if earlier is None else jobs_that_keep(earlier, form, snapshots, deployment)
    problems = [*check_instance_types(jobs, defaults.instance_types), *check_joined_outputs(request, jobs)]
    problems += [*check_commit_counts(jobs), *check_volumes(jobs)]
    problems += deployment.quotas.problems_of(instance_needs(jobs))
    if deadline is not None:
        problems += planner.check_deadline(deadline, times.planned_at)
    raise_if_any(problems, "request")
    skipped = uploads.skipped if uploads is not None else {}
    notes = [note for fleet in fleets for note in fleet.notes]
    notes += [*split_notes(jobs), *volume_notes(jobs), *planner.deadline_notes()]
    deadline_at = record_time(deadline) if deadline else ""
    draft = ScoringDraft(tuple(jobs), skipped, tuple(notes), request, capacity=planner, deadline_at=deadline_at)
    if earlier is None or coverage is None:
        return draft
    images = {model.model_id: defaults.image_uris[job.image] for job in jobs for model in job.committing_models}
    of_images = image_notes(coverage, earlier.old_jobs, images)
    if resumption is None:
        draft = replace(draft, scored_before=scored_before(coverage, jobs))
        return replace(draft, resume_notes=(*kept_notes(earlier, coverage), *of_images), resume_counts=count(coverage))
    told = (*resume_notes(resumption, coverage, snapshots), *of_images)
    moved = moved_datasets(resumption, snapshots)
    return replace(draft, resume_notes=told, resume_counts=count(coverage), moved_datasets=moved)
