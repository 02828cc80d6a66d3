"""Choose the jobs of an execution: see docs/why/planner.md."""

from dataclasses import replace

from contract.planner.advice import alternatives, notes
from contract.planner.algorithm.best import best_plan
from contract.planner.algorithm.preparation import prepare
from contract.planner.plan import CapacityPlan
from contract.planner.problem import PlanningProblem


def choose_plan(problem: PlanningProblem) -> CapacityPlan:
    """Return the plan of a problem. The same problem always gives the same plan."""
    prepared = prepare(problem)
    plan = best_plan(problem, prepared)
    others = alternatives(problem, plan, prepared)
    return replace(plan, notes=(*notes(problem, plan, prepared), *plan.notes), alternatives=others)
