"""Executions of both workflows with mocked tasks: what each call of a task returns, and the path
that follows.
"""

import json
from dataclasses import dataclass, field, fields
from typing import Any

from contract import environment
from contract.workflow.messages import AttemptPlan, TrainingAttemptPlan

BUCKET = "recorded"

Answer = dict[str, Any]
Answers = dict[str, list[Answer]]
"""The answers of a state's task, one per call; the last is repeated."""


def returns(result: Any) -> list[Answer]:
    return [{"result": result}]


def fails(error: str, cause: str = "why", times: int = 1) -> list[Answer]:
    return [{"error": error, "cause": cause}] * times


HANGS: list[Answer] = [{"hangs": True}]
"""The task never ends, so its state times out."""
USUAL: Answer = {"usual": True}
"""The answer that the task has in scenarios which do not name it."""


@dataclass(frozen=True)
class Job:
    """A job of a scenario.

    Args:
        path: The states that its child execution enters, in their order.
        error: The error of its child execution; empty if it succeeds, None if the child does not
            run.
    """

    path: list[str]
    error: str | None = ""
    answers: Answers = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """An execution.

    Args:
        path: The states that it enters, in their order.
        error: Its error; empty if it succeeds.
    """

    name: str
    workflow: str
    path: list[str]
    error: str = ""
    request: Any = field(default_factory=dict)
    answers: Answers = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()

    def items(self) -> list[dict[str, Any]]:
        return [{"execution_id": "e-1", "job_id": f"job-{index}", "attempt": 1} for index in range(len(self.jobs))]

    @property
    def jobs_key(self) -> str:
        return f"executions/{self.workflow}-{self.name.replace(' ', '-')}/jobs.json"

    def execution_answers(self) -> Answers:
        """Return the answers of the tasks outside the Map."""
        plan = {
            "execution_id": "e-1", "jobs_bucket": BUCKET, "jobs_key": self.jobs_key, "job_count": len(self.jobs),
            "max_concurrency": 1, "tolerated_failure_percentage": 100,
        }  # fmt: skip
        defaults = {
            "PlanExecution": returns(plan),
            "PlanTraining": returns(plan),
            "PrepareTraining": returns({"name": "e-1-training", "input": {"recipes": ["churn"]}}),
            "RunTraining": returns({"Status": "SUCCEEDED", "Output": {"status": "SUCCEEDED"}}),
            "SummarizeExecution": returns(outcome("SUCCEEDED")),
        }
        return _with_usual(self.answers, defaults)

    def job_answers(self, index: int) -> Answers:
        """Return the answers of the tasks of one job."""
        plan = ATTEMPT if self.workflow == "scoring" else TRAINING_ATTEMPT
        defaults = {
            "RecordAttempt": returns(plan),
            "RunProcessingJob": returns({"ProcessingJobStatus": "Completed"}),
            "RunTrainingJob": returns({"TrainingJobStatus": "Completed"}),
            "RunSpotJob": returns({"TrainingJobStatus": "Completed", "BillableTimeInSeconds": 60}),
            "VerifyOutput": returns({"job_id": f"job-{index}"}),
            "RegisterModelVersion": returns({"job_id": f"job-{index}"}),
            "NoteFailure": returns({}),
        }
        return _with_usual(self.jobs[index].answers, defaults)


def _with_usual(answers: Answers, defaults: Answers) -> Answers:
    given = {
        name: [answer for each in queue for answer in (defaults[name] if each is USUAL else [each])]
        for name, queue in answers.items()
    }
    return {**defaults, **given}


def outcome(status: str, cause: str = "") -> dict[str, Any]:
    return {"status": status, "summary_uri": "s3://results/summary.json", "cause": cause}


def decision(index: int, *, again: bool, attempt: int = 1) -> dict[str, Any]:
    return {
        "execution_id": "e-1", "job_id": f"job-{index}", "attempt": attempt, "try_again": again, "wait_seconds": 90,
        "kind": "DATA", "reason": "column age is missing",
    }  # fmt: skip


CLUSTER = {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}


def _attempt(message: type, **values: Any) -> dict[str, Any]:
    """Return a result of RecordAttempt: the message's fields, as text unless `values` has them, and
    one more.
    """
    return {**{field.name: f"s3://{field.name}" for field in fields(message)}, **values, "more": "not selected"}


VARIABLES = {
    environment.EXECUTION_ID: "e-1",
    environment.JOB_ID: "job-0",
    environment.ATTEMPT: "1",
    environment.BATCH_ROWS: "65536",
}
ATTEMPT = _attempt(
    AttemptPlan,
    nothing_left=False,
    cluster=CLUSTER,
    max_runtime_seconds=3600,
    environment=VARIABLES,
    wait_seconds=0,
    start_wait_seconds=2,
    spot=False,
    max_wait_seconds=7200,
    longest_seconds=3600,
)
TRAINING_ATTEMPT = _attempt(
    TrainingAttemptPlan,
    channels=[{"ChannelName": "train"}],
    hyperparameters={"rounds": "10"},
    resources=CLUSTER,
    spot=False,
    unchanged=False,
    stopping_condition={"MaxRuntimeInSeconds": 3600},
    longest_seconds=3600,
    environment=VARIABLES,
    wait_seconds=0,
    start_wait_seconds=2,
)
# The definitions add an hour to the time of a job. Both engines then wait one second, the shortest
# time-out.
SHORTEST_SECONDS = -3599
JOB_FAILED = fails("States.TaskFailed", json.dumps({"FailureReason": "AlgorithmError: exit code 1"}))
STILL_RUNNING = fails("JobStillRunningError", "the job is Stopping")


def _scenarios(workflow: str) -> list[Scenario]:
    """Return the scenarios of what both workflows share."""
    plan, fan_out, run, last, attempt, seconds = {
        "scoring": (
            "PlanExecution", "ScoreModels", "RunProcessingJob", "VerifyOutput", ATTEMPT, "longest_seconds",
        ),
        "training": (
            "PlanTraining", "TrainModels", "RunTrainingJob", "RegisterModelVersion", TRAINING_ATTEMPT,
            "longest_seconds",
        ),
    }[workflow]  # fmt: skip
    start = ["WrapInput", "TrainFirst?", plan] if workflow == "scoring" else ["WrapInput", plan]
    begin = ["RecordAttempt", "MayStart?", "WaitForStart", *(["Spot?"] if workflow == "scoring" else []), run]
    good = Job([*begin, last])
    final = ["ClassifyFailure", "TryAgain?", "JobFailed"]
    summarize = ["SummarizeExecution", "Outcome?"]
    done = [*start, fan_out, *summarize]
    partly = {"SummarizeExecution": returns(outcome("PARTLY_FAILED", "1 of 2 jobs failed"))}
    failed = {"SummarizeExecution": returns(outcome("FAILED", "no job succeeded"))}
    crash = fails("Lambda.Unknown")

    def refused(index: int = 0) -> Answers:
        return {"ClassifyFailure": returns(decision(index, again=False))}

    def one_failed(name: str, path: list[str], error: str, answers: Answers) -> Scenario:
        job = Job(path, error, answers)
        return Scenario(name, workflow, [*done, "Failed"], "Fleetscore.Failed", answers=failed, jobs=(job,))

    def one_good(name: str, path: list[str], answers: Answers) -> Scenario:
        return Scenario(name, workflow, [*done, "Succeeded"], jobs=(Job(path, answers=answers),))

    again = [{"result": decision(0, again=True, attempt=2)}]
    left = [*begin, "ClassifyFailure", "RecordJobLeftRunning"]
    return [
        Scenario("all jobs succeed", workflow, [*done, "Succeeded"], request={"models": ["a"]}, jobs=(good, good)),
        Scenario("no job", workflow, [*done, "Succeeded"], request=["any", "JSON"]),
        Scenario(
            "the plan is refused", workflow, [*start, *summarize, "Failed"], "Fleetscore.Failed",
            answers={plan: fails("RequestRefused", "model: 'a' is unknown"), **failed},
        ),
        Scenario(
            "the plan crashes twice", workflow, [*done, "Succeeded"], jobs=(good,),
            answers={plan: [*crash * 2, USUAL]},
        ),
        Scenario(
            "the plan crashes always", workflow, [*start, *summarize, "Failed"], "Fleetscore.Failed",
            answers={plan: crash, **failed},
        ),
        Scenario(
            "partly failed", workflow, [*done, "PartlyFailed"], "Fleetscore.PartlyFailed", answers=partly,
            jobs=(good, Job([*begin, *final], "DATA", {run: JOB_FAILED, **refused(1)})),
        ),
        Scenario(
            "no job starts past a tolerated level", workflow, [*done, "Failed"], "Fleetscore.Failed", answers=failed,
            jobs=(
                Job([*begin, *final], "DATA", {run: JOB_FAILED, **refused()}),
                Job(
                    ["RecordAttempt", *final], "DATA",
                    {"RecordAttempt": fails("ToleranceExceededError"), **refused(1)},
                ),
            ),
        ),
        Scenario(
            "the summary fails once", workflow, [*done, "Succeeded"], jobs=(good,),
            answers={"SummarizeExecution": [*fails("AnyError"), USUAL]},
        ),
        Scenario(
            "the summary fails always", workflow, done[:-1], "AnyError", jobs=(good,),
            answers={"SummarizeExecution": fails("AnyError")},
        ),
        one_failed("a job fails finally", [*begin, *final], "DATA", {run: JOB_FAILED, **refused()}),
        one_good(
            "a job fails and succeeds after a wait",
            [*begin, "ClassifyFailure", "TryAgain?", "WaitBeforeRetry", *begin, last],
            {run: [*JOB_FAILED, USUAL], "ClassifyFailure": again},
        ),
        one_good(
            "a job is created after throttling", [*begin, last],
            {run: [*fails("SageMaker.AmazonSageMakerException", times=10), USUAL]},
        ),
        one_good(
            "an attempt waits for its instances",
            ["RecordAttempt", "MayStart?", "WaitForCapacity", "RecordAttempt", "MayStart?", "WaitForCapacity", *begin,
             last],
            {"RecordAttempt": [*returns({**attempt, "wait_seconds": 40}) * 2, USUAL]},
        ),
        one_good(
            "an attempt waits for a quota that others use",
            [*begin, "ClassifyFailure", "TryAgain?", "WaitBeforeRetry", *begin, last],
            {run: [*fails("SageMaker.ResourceLimitExceededException"), USUAL],
             "ClassifyFailure": [{"result": decision(0, again=True)}]},
        ),
        one_failed(
            "a job is throttled too often", [*begin, *final], "DATA",
            {run: fails("SageMaker.AmazonSageMakerException"), **refused()},
        ),
        one_failed(
            "a job times out", [*begin, *final], "DATA",
            {"RecordAttempt": returns({**attempt, seconds: SHORTEST_SECONDS}), run: HANGS, **refused()},
        ),
        one_failed(
            "no attempt is opened", ["RecordAttempt", *final], "DATA",
            {"RecordAttempt": fails("LedgerUnreadable"), **refused()},
        ),
        one_failed("the last step fails", [*begin, last, *final], "DATA", {last: fails("OutputMissing"), **refused()}),
        one_good(
            "a stopped job ends late", [*begin, "ClassifyFailure", "TryAgain?", "WaitBeforeRetry", *begin, last],
            {run: [*JOB_FAILED, USUAL], "ClassifyFailure": [*STILL_RUNNING * 60, *again]},
        ),
        one_failed(
            "a stopped job never ends", [*left, "JobFailed"], "DATA",
            {run: JOB_FAILED, "ClassifyFailure": STILL_RUNNING,
             "RecordJobLeftRunning": returns(decision(0, again=False))},
        ),
        one_failed(
            "a job left running is not recorded", [*left, "NoteFailure", "JobNotRecorded"], "Fleetscore.JobNotRecorded",
            {run: JOB_FAILED, "ClassifyFailure": STILL_RUNNING, "RecordJobLeftRunning": fails("TableUnavailable")},
        ),
        one_failed(
            "a failure is not recorded", [*begin, "ClassifyFailure", "NoteFailure", "JobNotRecorded"],
            "Fleetscore.JobNotRecorded",
            {run: JOB_FAILED, "ClassifyFailure": fails("TableUnavailable")},
        ),
    ]  # fmt: skip


def _trains_first() -> list[Scenario]:
    request = {"train": {"recipes": ["churn"]}}
    prepare = ["WrapInput", "TrainFirst?", "PrepareTraining"]
    path = [*prepare, "RunTraining", "PlanExecution", "ScoreModels", "SummarizeExecution", "Outcome?", "Succeeded"]
    jobs = (Job(["RecordAttempt", "MayStart?", "WaitForStart", "Spot?", "RunProcessingJob", "VerifyOutput"]),)
    failed = fails("States.TaskFailed", json.dumps({"Status": "FAILED", "Error": "Fleetscore.Failed"}))
    throttled = fails("StepFunctions.AWSStepFunctionsException", times=6)
    return [
        Scenario("training first", "scoring", path, request=request, jobs=jobs),
        Scenario("training failed", "scoring", path, request=request, answers={"RunTraining": failed}, jobs=jobs),
        Scenario(
            "training starts after throttling", "scoring", path, request=request, jobs=jobs,
            answers={"RunTraining": [*throttled, USUAL]},
        ),
        Scenario(
            "training is refused", "scoring", [*prepare, "SummarizeExecution", "Outcome?", "Failed"],
            "Fleetscore.Failed", request=request,
            answers={
                "PrepareTraining": fails("RequestRefused"),
                "SummarizeExecution": returns(outcome("FAILED", "refused")),
            },
        ),
        Scenario(
            "no training with null", "scoring", ["WrapInput", "TrainFirst?", *path[4:]], request={"train": None},
            jobs=jobs,
        ),
        Scenario(
            "spot", "scoring", ["WrapInput", "TrainFirst?", *path[4:]],
            jobs=(
                Job(["RecordAttempt", "MayStart?", "WaitForStart", "Spot?", "RunSpotJob", "VerifyOutput"],
                    answers={"RecordAttempt": returns({**ATTEMPT, "spot": True})}),
                Job(["RecordAttempt", "MayStart?", "WaitForStart", "Spot?", "RunSpotJob", "ClassifyFailure",
                     "TryAgain?", "WaitBeforeRetry", "RecordAttempt", "MayStart?", "VerifyOutput"],
                    answers={
                        "RecordAttempt": [
                            *returns({**ATTEMPT, "spot": True}),
                            *returns({**ATTEMPT, "spot": True, "nothing_left": True}),
                        ],
                        "RunSpotJob": JOB_FAILED,
                        "ClassifyFailure": returns(decision(1, again=True, attempt=2)),
                    }),
            ),
        ),
        Scenario(
            "nothing is left", "scoring", ["WrapInput", "TrainFirst?", *path[4:]],
            jobs=(Job(["RecordAttempt", "MayStart?", "VerifyOutput"],
                      answers={"RecordAttempt": returns({**ATTEMPT, "nothing_left": True})}),),
        ),
    ]  # fmt: skip


_UNCHANGED = Scenario(
    "nothing has changed", "training",
    ["WrapInput", "PlanTraining", "TrainModels", "SummarizeExecution", "Outcome?", "Succeeded"],
    jobs=(Job(["RecordAttempt", "MayStart?", "RegisterModelVersion"],
              answers={"RecordAttempt": returns({**TRAINING_ATTEMPT, "unchanged": True})}),),
)  # fmt: skip
SCENARIOS = [*_scenarios("scoring"), *_trains_first(), *_scenarios("training"), _UNCHANGED]
