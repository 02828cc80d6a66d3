"""Runs of a scenario in the embedded AWS's interpreter and in aws-local-stepfunctions, in a form
that can be compared.

aws-local-stepfunctions is an interpreter of the Amazon States Language in TypeScript, independent
of ours and of ministack. `for_second_engine` has what it cannot express.
"""

import copy
import json
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from embedded.ministack.step_functions import workflows
from embedded.ministack.step_functions.tasks import TaskCall, TaskError, TaskHandler
from embedded.step_functions.tasks.task_events import NO_TIMEOUT_SECONDS
from tests.unit.embedded.step_functions.recorded.engine import BUCKET, Engine
from tests.unit.infra.assembly import states_of
from tests.unit.infra.verification.two_engines.scenarios import Answers, Scenario

ROOT = Path(__file__).parents[5]
ENTERED = "when the state was entered"
CHILD = "the ARN of the child execution"
TIMEOUT = "time-out of the state"
"""Shown among the parameters of a task, so that it is compared."""
ACCOUNT = "eu-central-1:000000000000"


def with_arns(definition: dict[str, Any]) -> dict[str, Any]:
    """Return a synthesized definition with ARNs and names in place of its references to other
    resources.
    """

    def value(match: re.Match[str]) -> str:
        name, _, attribute = match[1].partition(".")
        if attribute == "Arn":
            return f"arn:aws:lambda:{ACCOUNT}:function:{name}"
        if name.endswith("StateMachine"):
            return f"arn:aws:states:{ACCOUNT}:stateMachine:{name}"
        if name.endswith("RoleArn"):
            return f"arn:aws:iam::000000000000:role/{name}"
        return BUCKET if name.endswith("Bucket") else name

    parsed: dict[str, Any] = json.loads(re.sub("<([^>]*)>", value, json.dumps(definition)))
    return parsed


def for_second_engine(definition: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the definition as the second engine can run it, and the child's machine of each
    distributed Map.

    The engine has Map states, but no distributed ones: no ItemReader, no tolerated failures, no
    ResultWriter. A Task takes the place of the Map. It keeps the fields that are the same in every
    state (Catch, ResultPath, Next). Its Parameters resolve the paths of the Map's own fields, and
    second_engine.cjs then runs each child in the engine, and counts the failures.
    """
    adapted, processors = copy.deepcopy(definition), {}
    for state in states_of(adapted).values():
        if "TimeoutSecondsPath" in state:
            # The engine looks for the path in the task's Parameters. AWS looks in the state's
            # input.
            state["Parameters"][f"{TIMEOUT}.$"] = state["TimeoutSecondsPath"]
            state["TimeoutSecondsPath"] = f"$['{TIMEOUT}']"
    for name, state in adapted["States"].items():
        if state["Type"] != "Map":
            continue
        processors[name] = state.pop("ItemProcessor")
        assert state.pop("ItemReader")["Parameters"].keys() == {"Bucket.$", "Key.$"}
        limits = {
            "MaxConcurrency.$": state.pop("MaxConcurrencyPath"),
            "ToleratedFailurePercentage": state.pop("ToleratedFailurePercentage"),
        }
        reader = definition["States"][name]["ItemReader"]["Parameters"]
        state |= {
            "Type": "Task",
            "Resource": f"arn:aws:lambda:{ACCOUNT}:function:map",
            # A Task of the engine ends after a minute otherwise.
            "TimeoutSeconds": NO_TIMEOUT_SECONDS,
            "Parameters": {**reader, **limits},
        }
        del state["ResultWriter"], state["Label"]
        added = {"Resource", "Parameters", "TimeoutSeconds"}
        assert state.keys() - added <= {"Type", "Comment", "Next", "Catch", "ResultPath"}
    return adapted, processors


def run_in_ours(engine: Engine, definition: dict[str, Any], scenario: Scenario) -> dict[str, Any]:
    """Return how the scenario ended in our interpreter, with the execution's name, ARN
    and start.
    """
    answers = MockedTasks(scenario)
    engine.put_object(scenario.jobs_key, json.dumps(scenario.items()))
    with pytest.MonkeyPatch.context() as patch:
        for module in ("tasks.task_state", "definition.validation"):
            patch.setattr(f"embedded.step_functions.{module}.task_integration", answers.handler)
        arn = engine.run(definition, scenario.request)
    record = workflows.execution_record(arn)
    assert record is not None
    children = [answers.end(child) for child in child_records(engine, arn)]
    return {
        "arn": arn,
        "name": record["name"],
        "started_at": record["startDate"],
        **answers.end(record),
        "children": sorted(children, key=lambda child: str(child["item"]["job_id"])),
    }


def child_records(engine: Engine, execution_arn: str) -> list[workflows.Record]:
    runs = engine.call("ListMapRuns", executionArn=execution_arn)["mapRuns"]
    listed = [each for run in runs for each in engine.call("ListExecutions", mapRunArn=run["mapRunArn"])["executions"]]
    return [record for each in listed if (record := workflows.execution_record(each["executionArn"]))]


class MockedTasks:
    """The tasks of one execution of our interpreter and of its children."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._lock = Lock()
        self._calls: dict[str, list[tuple[str, Any]]] = defaultdict(list)

    def handler(self, _resource: str) -> TaskHandler:
        return self._answer

    def _answer(self, call: TaskCall) -> dict[str, Any]:
        record = workflows.execution_record(call.execution_arn)
        assert record is not None
        state, timeout = _state_and_timeout(record)
        queue = self._answers(record).get(state, [])
        with self._lock:
            calls = self._calls[call.execution_arn]
            position = sum(called == state for called, _ in calls)
            # The second engine does not set the time at which a state was entered, and has no names of children.
            entered = {"entered_at": ENTERED} if call.parameters.get("entered_at") else {}
            child = {"child_arn": CHILD} if call.parameters.get("child_arn") == call.execution_arn else {}
            calls.append((state, call.parameters | entered | child | timeout))
        assert queue, f"no answer for {state}"
        answer = queue[min(position, len(queue) - 1)]
        if "hangs" in answer:
            call.cancelled.wait(5)
        if "error" in answer:
            raise TaskError(answer["error"], answer["cause"])
        result: dict[str, Any] = answer.get("result", {})
        return copy.deepcopy(result)

    def _answers(self, record: workflows.Record) -> Answers:
        if "mapRunArn" not in record:
            return self._scenario.execution_answers()
        return self._scenario.job_answers(int(json.loads(record["input"])["job_id"].removeprefix("job-")))

    def end(self, record: workflows.Record) -> dict[str, Any]:
        """Return how an execution ended: its states, calls, status, and output or error."""
        entered = [
            event["stateEnteredEventDetails"] for event in record["events"] if "stateEnteredEventDetails" in event
        ]
        calls = [[state, parameters] for state, parameters in self._calls[record["executionArn"]]]
        end = {"states": [details["name"] for details in entered], "calls": calls, "status": record["status"]}
        if record["status"] == "SUCCEEDED":
            end["output"] = json.loads(record["output"])
        else:
            end |= {"error": record["error"], "cause": record["cause"]}
        return {"item": json.loads(record["input"]), **end} if "mapRunArn" in record else end


def _state_and_timeout(record: workflows.Record) -> tuple[str, dict[str, int]]:
    """Return the state whose task was called last, and its time-out if it has one."""
    (entered,) = [event for event in record["events"] if event["type"] == "TaskStateEntered"][-1:]
    (scheduled,) = [event for event in record["events"] if event["type"].endswith("Scheduled")][-1:]
    details = scheduled.get("taskScheduledEventDetails", {})
    timeout = {TIMEOUT: details["timeoutInSeconds"]} if "timeoutInSeconds" in details else {}
    return str(entered["stateEnteredEventDetails"]["name"]), timeout


def run_in_second(runs: list[tuple[dict[str, Any], Scenario, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return how scenarios ended in the second engine, given their definitions and ends in ours.

    One process of Node.js runs all of them.
    """
    requests = []
    for definition, scenario, ours in runs:
        adapted, processors = for_second_engine(definition)
        numbered = {item["job_id"]: scenario.job_answers(index) for index, item in enumerate(scenario.items())}
        items = {f"{BUCKET}/{scenario.jobs_key}": scenario.items()}
        requests.append({
            "definition": adapted,
            "input": scenario.request,
            "context": {
                "Execution": {"Name": ours["name"], "Id": ours["arn"]}, "State": {"EnteredTime": ENTERED},
            },
            "answers": scenario.execution_answers(),
            "maps": {
                name: {"processor": each, "items": items, "answers": numbered} for name, each in processors.items()
            },
        })  # fmt: skip
    node = shutil.which("node")
    assert node, "node is not on the PATH: `make` puts it there"
    done = subprocess.run(
        [node, Path(__file__).with_name("second_engine.cjs")],
        input=json.dumps(requests), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ends: list[dict[str, Any]] = json.loads(done.stdout)
    return ends
