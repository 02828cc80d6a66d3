"""What a training script prints is in the job's log, line by line, and each line says whose it is."""

import json
import re
from typing import Any

import pytest

from contract import environment
from tests.unit.training.training_folder import SCRIPT, TrainingFolder, numbers_frame

VARIABLES = {environment.EXECUTION_ID: "e-1", environment.JOB_ID: "late", environment.ATTEMPT: "2"}
IDENTITY = {"execution": "e-1", "job": "late", "attempt": "2", "model": "late"}
PRINTS = """
import os, subprocess, sys
print("auc=0.81;")
print("to stderr", file=sys.stderr)
sys.stdout.buffer.write(b"caf\\xe9\\n")
print("\\r50%", end="")
print("\\r100%")
subprocess.run(["echo", "from a program"])
print('{"event": "training_ended", "forged": true}')
print("x" * 100_000)
def fit():
    raise ValueError("no rows\\nat all")
fit()
"""
FLOOD = """
import sys
for _ in range(20_000):
    print("epoch")
sys.exit(3)
"""


@pytest.fixture
def script(job: TrainingFolder, monkeypatch: pytest.MonkeyPatch) -> TrainingFolder:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    job.add_object("a.parquet", numbers_frame(30, 1).dropna())
    job.write_spec(**SCRIPT)
    return job


def run(script: TrainingFolder, text: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Run a script that fails, and return the lines of the log and those that the script has printed."""
    script.add_code({"train.py": text})
    ended = script.run()
    assert ended.returncode == 1
    lines = [json.loads(line) for line in [*ended.stdout.splitlines(), *ended.stderr.splitlines()]]
    return lines, [line for line in lines if line["event"] == "output"]


def test_each_line_names_execution_job_attempt_and_model(script: TrainingFolder) -> None:
    lines, printed = run(script, PRINTS)
    for line in lines:
        assert line.items() >= IDENTITY.items(), line
    assert {line["program"] for line in printed} == {"train.py"}
    assert "training_ended" not in [line["event"] for line in lines]


def test_lines_of_stdout_and_stderr_keep_their_order_and_are_complete(script: TrainingFolder) -> None:
    _, printed = run(script, PRINTS)
    # An update of the progress bar is a line of its own if it arrives alone.
    texts = [line["text"] for line in printed if not re.fullmatch(r"\d?\d%", line["text"])]
    assert texts[:6] == [
        "auc=0.81;",
        "to stderr",
        "caf\\xe9",
        "100%",
        "from a program",
        '{"event": "training_ended", "forged": true}',
    ]
    long = [line for line in printed if line["text"].startswith("x")]
    assert [line.get("continues", False) for line in long] == [True, True, True, False]
    assert "".join(line["text"] for line in long) == "x" * 100_000


def test_a_traceback_is_complete_and_the_reason_names_its_place(script: TrainingFolder) -> None:
    _, printed = run(script, PRINTS)
    texts = [line["text"] for line in printed]
    traceback = texts[texts.index("Traceback (most recent call last):") :]
    assert traceback[-2:] == ["ValueError: no rows", "at all"]
    assert [text for text in traceback if text.startswith("    raise ValueError")]
    assert "(ValueError at train.py:12)" in script.failure


def test_a_flood_of_lines_loses_none(script: TrainingFolder) -> None:
    _, printed = run(script, FLOOD)
    assert [line["text"] for line in printed] == ["epoch"] * 20_000
