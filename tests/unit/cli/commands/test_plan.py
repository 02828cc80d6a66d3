"""`fleetscore plan` shows what an execution would need, and `run --confirm` asks with it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from cli import main as entry
from contract import codec
from contract.planner.estimates import Estimate
from contract.planner.figures import PlanFigures
from contract.planner.plan import Alternative
from contract.status import ExecutionKind
from contract.workflow.request_check import CheckedJob, CheckInput, ExpectedCapacity, RequestCheck, to_answer
from tests.unit.cli.commands.conftest import Answer

Captured = pytest.CaptureFixture[str]

LAMBDA_BYTES = 6 * 1024 * 1024
"""Largest answer of a function."""

JOB = CheckedJob(
    ExecutionKind.SCORING, "churn.and-39-more", "customers", 40, 2, 3_072, "ml.m5.xlarge", 2, parts=2, volume_gb=30,
    seconds=Estimate(720, 540, 1_080), rows=1_200, cost=0.05,
)  # fmt: skip
FIGURES = PlanFigures(
    jobs=2,
    seconds=Estimate(840, 600, 1_260),
    instance_hours=0.7,
    cost=0.1612,
    price_date="2026-11-30",
    price_source="AWS Price List API",
    quota_needed={"ml.m5.xlarge": 2},
    notes=("The end may be late.",),
)
EXPECTED = ExpectedCapacity(
    planned_at="2026-03-01T22:00:00.000Z",
    figures=FIGURES,
    deadline_at="2026-03-01T22:20:00.000Z",
    quotas={"ml.m5.xlarge": 20},
    alternatives=(Alternative("set objective to 'time'", 600, 0.2, 0.9),),
)
CHECK = RequestCheck(
    job_count=2, model_count=40, dataset_count=1, object_count=2, input_bytes=3_072, jobs=(JOB,), expected=EXPECTED
)


def test_plan_shows_jobs_time_quota_and_cost(answer: Answer, capsys: Captured) -> None:
    calls = answer(codec.to_json(CHECK))
    assert entry.main(["plan", "--input", '{"models_per_job": "auto"}']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "Plan for stage dev: 2 jobs would score 40 models, 1 dataset, 2 objects, 3.0 KiB. Nothing was started."
    )
    assert " ".join(lines[2].split()) == (
        "churn.and-39-more customers 40 2 3.0 KiB 1,200 2 x ml.m5.xlarge (2 parts) 30 GB 12 min (9 min to 18 min) "
        "0.0500 USD"
    )
    assert lines[3:] == [
        "… and 1 more job; --json shows all",
        "Duration: 14 min (10 min to 21 min), until about 2026-03-01 22:14:00 UTC",
        "Deadline: 2026-03-01 22:20:00 UTC, met with 6 min to spare, but not at the long end of the band",
        "Instances at once: 2 x ml.m5.xlarge; the quota is 20",
        "Disk: up to 30 GB per instance",
        "Instances: 0.70 instance-hours, 0.16 USD (prices of 2026-11-30: AWS Price List API)",
        "Alternatives:",
        "  - set objective to 'time': 10 min, 0.90 instance-hours, 0.20 USD",
        "Note: The end may be late.",
    ]
    assert calls == [codec.to_json(CheckInput(ExecutionKind.SCORING, {"models_per_job": "auto"}))]


def test_narrow_terminal_keeps_the_jobs_names(
    answer: Answer, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(codec.to_json(CHECK))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert entry.main(["run", "--confirm"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert ["job", "models", "instances", "duration", "cost"] in [line.split() for line in lines]
    assert any(line.startswith("churn.and-39-more ") and line.endswith(" 0.0500 USD") for line in lines)


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (["run"], {}),
        (["plan"], {}),
        (["resume", "nightly-1", "--models", "a"], {"resume": "nightly-1", "models": ["a"]}),
    ],
)
def test_every_plan_is_the_same_and_json_has_every_figure_and_job(
    answer: Answer, capsys: Captured, words: list[str], request_: dict[str, Any]
) -> None:
    calls = answer(codec.to_json(CHECK))
    assert entry.main([*words, *(["--plan"] if words[0] != "plan" else []), "--json"]) == 0
    assert calls == [codec.to_json(CheckInput(ExecutionKind.SCORING, request_, all_jobs=True))]
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is True
    assert found["expected"] == codec.to_value(EXPECTED)
    assert found["jobs"] == [codec.to_value(JOB)]


def test_missed_deadline_and_missing_price_are_said(answer: Answer, capsys: Captured) -> None:
    figures = replace(FIGURES, cost=None)
    late = replace(EXPECTED, figures=figures, deadline_at="2026-03-01T22:10:00.000Z", quotas={})
    answer(codec.to_json(replace(CHECK, expected=late, jobs=(replace(JOB, cost=None),))))
    assert entry.main(["plan"]) == 0
    out = capsys.readouterr().out
    assert "Deadline: 2026-03-01 22:10:00 UTC, missed by 4 min" in out
    assert "2 x ml.m5.xlarge; the quota is not known" in out
    assert "the cost is not known, because an instance type has no price" in out


def test_prices_that_cannot_be_read_are_why_the_cost_is_not_known(answer: Answer, capsys: Captured) -> None:
    figures = replace(FIGURES, cost=None, price_date="", price_source="the stage's prices cannot be read")
    answer(codec.to_json(replace(CHECK, expected=replace(EXPECTED, figures=figures))))
    assert entry.main(["plan"]) == 0
    assert "the cost is not known, because the stage's prices cannot be read" in capsys.readouterr().out


def test_plan_of_tens_of_thousands_of_jobs_is_read(answer: Answer, capsys: Captured) -> None:
    jobs = tuple(replace(JOB, job_id=f"model-{number}") for number in range(30_000))
    value = to_answer(replace(CHECK, job_count=len(jobs), jobs=jobs))
    assert len(json.dumps(value)) < LAMBDA_BYTES < len(codec.dumps(replace(CHECK, jobs=jobs)))
    answer(value)
    assert entry.main(["plan", "--json"]) == 0
    assert [job["job_id"] for job in json.loads(capsys.readouterr().out)["jobs"]] == [job.job_id for job in jobs]


def test_refused_request_has_no_plan(answer: Answer, capsys: Captured) -> None:
    answer(codec.to_json(RequestCheck(problems=("deadline: got 'PT1M', expected a later time",), problem_count=1)))
    assert entry.main(["plan"]) == 2
    assert "  - deadline: got 'PT1M'" in capsys.readouterr().err


def test_confirm_refuses_without_a_terminal(answer: Answer, capsys: Captured) -> None:
    calls = answer(codec.to_json(CHECK))
    assert entry.main(["run", "--confirm"]) == 2
    assert "Show the plan with `fleetscore plan`, and start the execution without --confirm" in capsys.readouterr().err
    assert calls == []


@pytest.mark.parametrize(("typed", "starts"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_confirm_shows_the_plan_and_asks(
    answer: Answer,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    starts: bool,
) -> None:
    answer(codec.to_json(CHECK))
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    status = entry.main(["run", "--confirm", "--name", "confirmed", "--json"])
    captured = capsys.readouterr()
    assert "Plan for stage dev: 2 jobs" in captured.err
    assert "Start the execution?" in captured.err
    if starts:
        assert (status, json.loads(captured.out)["execution_id"]) == (0, "confirmed")
    else:
        assert (status, captured.out) == (2, "")
        assert "Nothing was started." in captured.err


class Terminal:
    def __init__(self, text: str) -> None:
        self._text = text

    def isatty(self) -> bool:
        return True

    def readline(self, *_: int) -> str:
        return self._text
