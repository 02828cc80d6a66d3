"""Both workflows take the same path in two independent interpreters, on the same results of their
tasks.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.embedded.step_functions.recorded.engine import Engine, installed_engine
from tests.unit.infra.assembly import Assembly, states_of
from tests.unit.infra.verification.two_engines.runs import run_in_ours, run_in_second, with_arns
from tests.unit.infra.verification.two_engines.scenarios import SCENARIOS

End = dict[str, Any]
Ends = list[tuple[End, End]]
OTHER = "training failed"


def _same_start(end: End, started_at: str) -> None:
    """The second engine sets the start time itself."""
    for _state, parameters in end["calls"]:
        if "started_at" in parameters:
            parameters["started_at"] = started_at


def _timed_out(end: End, _started_at: str) -> None:
    """The second engine repeats the error's name as the cause of a time-out.

    AWS was recorded to have none.
    """
    for _state, parameters in end["calls"]:
        if parameters.get("failure") == {"Error": "States.Timeout", "Cause": "States.Timeout"}:
            parameters["failure"]["Cause"] = ""


def _quotes(end: End, _started_at: str) -> None:
    """The second engine's States.JsonToString does not escape quotes in texts."""
    for state, parameters in end["calls"]:
        if state == "NoteFailure":
            for value in parameters["ExpressionAttributeValues"].values():
                if found := re.fullmatch(r'{"Error":"(.*?)","Cause":"(.*)"}', value["S"]):
                    failure = {"Error": found[1], "Cause": found[2]}
                    value["S"] = json.dumps(failure, separators=(",", ":"))


DIFFERENCES: tuple[Callable[[End, str], None], ...] = (_same_start, _timed_out, _quotes)
"""The known differences of the second engine, each undone in what it reports."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with installed_engine() as installed:
        yield installed


@pytest.fixture(scope="module")
def definitions(assembly: Assembly) -> dict[str, dict[str, Any]]:
    return {"scoring": with_arns(assembly.definition), "training": with_arns(assembly.training_definition)}


@pytest.fixture(scope="module")
def ends(engine: Engine, definitions: dict[str, dict[str, Any]]) -> Ends:
    """Return how each scenario ended in our interpreter and in the second engine.

    A run of `OTHER` with a changed definition in the second engine comes last.
    """
    runs = [
        (definitions[each.workflow], each, run_in_ours(engine, definitions[each.workflow], each)) for each in SCENARIOS
    ]
    (other,) = [run for run in runs if run[1].name == OTHER]
    changed = copy.deepcopy(other[0])
    changed["States"]["RunTraining"]["Catch"][0]["ResultPath"] = "$.failure"
    seconds = run_in_second([*runs, (changed, *other[1:])])
    pairs = zip([*runs, other], seconds, strict=True)
    return [(json.loads(json.dumps(ours)), without_differences(second, ours)) for (_, _, ours), second in pairs]


def without_differences(second: End, ours: End) -> End:
    for each in (second, *second["children"]):
        for undo in DIFFERENCES:
            undo(each, ours["started_at"])
    return {**second, **{name: ours[name] for name in ("arn", "name", "started_at")}}


NAMES = [f"{each.workflow}: {each.name}" for each in SCENARIOS]


@pytest.mark.parametrize("index", range(len(SCENARIOS)), ids=NAMES)
def test_both_engines_take_the_path_of_the_scenario(ends: Ends, index: int) -> None:
    (ours, second), scenario = ends[index], SCENARIOS[index]
    assert ours == second
    assert ours["states"] == scenario.path
    assert ours.get("error", "") == scenario.error
    started = [job for job in scenario.jobs if job.error is not None]
    assert [child["states"] for child in ours["children"]] == [job.path for job in started]
    assert [child.get("error", "") for child in ours["children"]] == [job.error for job in started]


@pytest.mark.parametrize("workflow", ["scoring", "training"])
def test_the_scenarios_enter_every_state(definitions: dict[str, dict[str, Any]], workflow: str) -> None:
    entered = {
        state
        for each in SCENARIOS
        if each.workflow == workflow
        for path in (each.path, *(job.path for job in each.jobs))
        for state in path
    }
    assert entered == states_of(definitions[workflow]).keys()


def test_a_change_of_one_field_is_noticed(ends: Ends) -> None:
    ours, changed = ends[-1]
    assert ours["states"] == changed["states"]
    assert ours["calls"] != changed["calls"]
