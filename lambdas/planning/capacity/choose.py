"""Let the planner divide an execution's models into jobs, and keep what it expects of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from contract import layout
from contract.catalog.instance_types import has_local_storage
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute
from contract.planner.choose import choose_plan
from contract.planner.estimates import Estimate
from contract.planner.figures import PlanFigures, figures_of
from contract.planner.plan import CapacityPlan, JobCapacity
from contract.planner.problem import PlanningProblem, pool_name, priced_kind
from contract.problems import Problem
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.errors import PlanChangedError
from lambdas.planning.capacity.basis import PlanningBasis
from lambdas.planning.capacity.deadline import check_strict_deadline, deadline_notes
from lambdas.planning.capacity.problem import form_problem, may_choose, volume_gb
from lambdas.planning.scoring.form_groups import JobGroup, PlannedChunk, without_plan
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.observability import logger
from lambdas.stage.settings import PlanDefaults

_LISTED = 10
"""Problems that notes list. An execution may have thousands, and a record has at most 400 KB."""


@dataclass(frozen=True)
class KeptPlan:
    """The first plan of an execution, which a repeated call of the function must use: estimates change."""

    execution_id: str
    store: ObjectStore

    @property
    def uri(self) -> str:
        return layout.s3_uri(self.store.results_bucket, layout.capacity_key(self.execution_id))

    def keep(self, plan: CapacityPlan) -> CapacityPlan:
        """Keep a plan unless there is one, and return the kept one."""
        return self.store.keep_capacity(self.execution_id, plan)


@dataclass
class CapacityPlanner:
    """Plans the capacity of one execution, and keeps the plan that was made last."""

    request: ExecutionRequest
    defaults: PlanDefaults
    basis: PlanningBasis
    seconds_left: float | None
    """Time until the deadline; None without one."""
    kept: KeptPlan | None = None
    """Keeps a plan with choices. None: nothing is written, and the plan is used once."""
    plan: CapacityPlan | None = None
    problem: PlanningProblem | None = field(default=None, repr=False)

    @property
    def chooses(self) -> bool:
        return may_choose(self.request, self.defaults)

    def __call__(self, groups: Sequence[JobGroup]) -> list[PlannedChunk]:
        """Return the jobs of the groups, with their compute and their expected seconds."""
        try:
            self.problem = form_problem(groups, self.request, self.defaults, self.basis, self.seconds_left)
            self.plan = choose_plan(self.problem)
        except Exception:
            if self.chooses:
                raise
            # The jobs do not depend on it.
            logger.exception("the execution is planned without an estimate")
            return without_plan(groups)
        if self.chooses and self.kept is not None:
            self.plan = self.kept.keep(self.plan)
        by_group: dict[str, list[JobCapacity]] = {}
        for job in self.plan.jobs:
            by_group.setdefault(job.group, []).append(job)
        for group in groups:
            if group.is_kept:
                by_group[group.name] = [self._kept_job(group, chunk) for chunk in group.largest_chunks()]
        return [chunk for group in groups for chunk in self._chunks(group, by_group.get(group.name, []))]

    def check_deadline(self, deadline: datetime, planned_at: datetime) -> list[Problem]:
        """Return the problem of a strict deadline that the plan cannot meet."""
        return check_strict_deadline(self.request, self.plan, deadline, planned_at) if self.plan else []

    def deadline_notes(self) -> list[str]:
        """Return a note if the deadline may be missed."""
        if self.plan is None or self.seconds_left is None:
            return []
        return deadline_notes(self.plan, self.seconds_left)

    def notes(self) -> list[str]:
        """Return what people should know of the plan."""
        if self.plan is None:
            return []
        # Volumes have notes of their own.
        problems = [problem for problem in self.plan.problems if not problem.field.endswith("volume_size_gb")]
        more = [f"and {len(problems) - _LISTED:,} more such problems"] if len(problems) > _LISTED else []
        return [*self.deadline_notes(), *map(str, problems[:_LISTED]), *more, *self.plan.notes]

    def figures(self) -> PlanFigures | None:
        """Return what the plan expects; None before there is one."""
        if self.plan is None:
            return None
        used = {(job.instance_type, job.spot) for job in self.plan.jobs}
        # An attempt may get a larger type than the plan has.
        used |= {(name, spot) for name in self.defaults.compute.larger_instance_types or () for _, spot in used}
        return figures_of(self.plan, self._prices(used), tuple(self.notes()))

    def _prices(self, used: set[tuple[str, bool]]) -> Mapping[str, float]:
        table, region = self.basis.prices, self.basis.region
        found = {
            pool_name(name, spot=spot): table.usd_per_hour(region, priced_kind(spot), name)
            for name, spot in sorted(used)
        }
        return {name: price for name, price in found.items() if price is not None}

    def _kept_job(self, group: JobGroup, models: Sequence[ModelSpec]) -> JobCapacity:
        """Return what a job needs that only copies what is kept: no instance. It comes after those that score."""
        compute = group.compute
        return JobCapacity(
            group=group.name,
            models=tuple(spec.model_id for spec in models),
            instance_type=compute.instance_type or "",
            instance_count=compute.instance_count or 1,
            is_split=False,
            shard_bytes=(0,),
            volume_gb=compute.volume_size_gb or 1,
            seconds=Estimate(0.0, 0.0, 0.0, 0),
            starts=(self.plan.makespan.value if self.plan else 0.0,),
            instance_seconds=0.0,
            rows=0,
            cost=0.0,
            spot=bool(compute.spot),
        )

    def _chunks(self, group: JobGroup, jobs: Sequence[JobCapacity]) -> list[PlannedChunk]:
        if group.fleet is not None:
            return [self._chunk(group, group.models, jobs[0] if jobs else None)]
        by_model = {model_id: job for job in jobs for model_id in job.models}
        specs = {spec.model_id: spec for spec in group.models}
        if self.kept is not None and not by_model.keys() <= specs.keys():
            # The plan of an earlier call was for other models.
            raise PlanChangedError(self.kept.uri)
        chunks = group.chunks
        if chunks is None:
            # What the planner cannot place has a problem, and is refused, or planned as without it.
            unplaced = tuple(spec for spec in group.models if spec.model_id not in by_model)
            placed = [tuple(specs[name] for name in sorted(job.models)) for job in jobs]
            chunks = (*placed, *(replace(group, models=unplaced).largest_chunks() if unplaced else ()))
        return [self._chunk(group, models, by_model.get(models[0].model_id)) for models in chunks]

    def _chunk(self, group: JobGroup, models: tuple[ModelSpec, ...], job: JobCapacity | None) -> PlannedChunk:
        if job is None:
            return PlannedChunk(group, models, group.compute)
        compute = self._compute(group, models, job) if self.chooses else group.compute
        return PlannedChunk(group, models, compute, job, self.chooses)

    def _compute(self, group: JobGroup, models: Sequence[ModelSpec], job: JobCapacity) -> Compute:
        """Return the compute of the plan where nothing is fixed, with the stage's values for the rest."""
        stage, fixed = self.defaults.compute, group.fixed
        larger = fixed.larger_instance_types
        if larger is not None and job.instance_type in larger:
            larger = larger[larger.index(job.instance_type) + 1 :]
        chosen = Compute(
            # Without a type of its own, the job has the larger types of the stage.
            instance_type=None if job.instance_type == stage.instance_type else job.instance_type,
            instance_count=job.instance_count,
            volume_size_gb=None if has_local_storage(job.instance_type) else volume_gb(group, models, job),
            larger_instance_types=larger,
        )
        return chosen.with_fallback(replace(fixed, larger_instance_types=None)).with_fallback(stage)
