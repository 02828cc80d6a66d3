"""The log of a call has all of its lines, and no line of another call."""

import io
import queue
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.core import lambda_runtime

from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.functions import worker_logs
from embedded.ministack.functions.worker_logs import install_call_logs

HANDLER = """
import sys
def handler(event, context):
    for number in range(event["lines"]):
        print(event["name"], number)
    sys.stderr.write("cut off")
    if event["fails"]:
        raise ValueError("no")
"""


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(lambda_runtime, "_PYTHON_WORKER_SCRIPT", lambda_runtime._PYTHON_WORKER_SCRIPT)
    for name in ("invoke", "_drain_stderr_bounded"):
        monkeypatch.setattr(lambda_runtime.Worker, name, getattr(lambda_runtime.Worker, name))
    install_call_logs()
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("code.py", HANDLER)
    arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
    config = {
        "FunctionName": "f",
        "FunctionArn": arn,
        "Handler": "code.handler",
        "Runtime": "python3.11",
        "Timeout": 30,
    }
    made = lambda_runtime.Worker("f", config, package.getvalue())
    yield made
    made.kill()


def test_a_call_has_the_lines_up_to_its_mark(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_logs, "_LONGEST_SECONDS", 30.0)
    for number, lines in enumerate((3, 0, 2_000)):
        answer = worker.invoke({"name": f"n{number}", "lines": lines, "fails": False}, f"call-{number}")
        assert answer["log"].split("\n") == [*(f"n{number} {line}" for line in range(lines)), "cut off"]


def test_a_worker_that_ends_has_its_lines_too(worker: Any) -> None:
    answer = worker.invoke({"name": "n", "lines": 2, "fails": True}, "call")
    assert answer["status"] == "error"
    assert answer["log"].startswith("n 0\nn 1\ncut off")


def test_late_lines_of_a_call_do_not_end_the_next() -> None:
    stderr: queue.Queue[str] = queue.Queue()
    for line in ("late", f"later{worker_logs._MARK}a", "mine", f"{worker_logs._MARK}b", "of the next"):
        stderr.put(line)
    assert worker_logs._lines(stderr, f"{worker_logs._MARK}b") == "late\nlater\nmine"


def test_a_changed_worker_script_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_runtime, "_PYTHON_WORKER_SCRIPT", "print('new')")
    with pytest.raises(MinistackChangedError):
        install_call_logs()
