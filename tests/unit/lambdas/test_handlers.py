"""The handlers as Lambda loads them: in a new process, without an X-Ray daemon."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.unit.lambdas.builders import VARIABLES

ROOT = Path(__file__).parents[3]
STEPS = sorted(path.parent.name for path in (ROOT / "lambdas").glob("*/handler.py"))


def test_the_functions_with_handlers_are_known() -> None:
    assert STEPS == [
        "announce_status",
        "check_request",
        "classify_failure",
        "plan_execution",
        "plan_training",
        "prepare_training",
        "reconcile",
        "record_attempt",
        "register_model_version",
        "start_on_schedule",
        "start_on_upload",
        "summarize_execution",
        "verify_output",
    ]


def test_handlers_are_loaded_without_calling_aws_or_reading_settings() -> None:
    program = "\n".join(f"from lambdas.{step}.handler import handler; assert callable(handler)" for step in STEPS)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, env=environment, cwd=ROOT / "tests", timeout=60, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_a_handler_logs_and_publishes_metrics_without_an_x_ray_daemon() -> None:
    program = """
import json
from moto import mock_aws
from tests.unit.lambdas.builders import Context, Stage, plan_event
from lambdas.plan_execution.handler import handler
with mock_aws():
    stage = Stage()
    stage.register()
    stage.upload()
    print(json.dumps(handler(plan_event({}), Context())))
"""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_LAMBDA_FUNCTION_NAME": "fleetscore-test-plan",
        "LAMBDA_TASK_ROOT": str(ROOT),
        "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        **VARIABLES,
    }
    ended = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env=environment,
        cwd=ROOT / "tests",
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["job_count"] == 1
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [line["JobsPlanned"] for line in lines if "_aws" in line] == [[1.0]]
    logged = [line for line in lines if line.get("level") == "INFO"]
    assert [(line["message"], line["correlation_id"], line["job_count"]) for line in logged] == [
        ("planned the execution", "e-1", 1)
    ]
