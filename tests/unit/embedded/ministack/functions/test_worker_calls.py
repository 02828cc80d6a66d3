"""A call of a worker has its answer and all of its lines, and nothing of another call."""

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ministack.core import lambda_runtime

from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.functions.worker_calls import _Lines, install_worker_calls, take_answer_bytes

HANDLER = """
import os, sys, time
print("start " + "x" * 100_000)

def handler(event, context):
    for number in range(event.get("lines", 0)):
        print(event["name"], number)
    sys.stderr.write("cut off")
    if "write" in event:
        os.write(1, event["write"].encode())
    if "exit" in event:
        os._exit(event["exit"])
    if "fails" in event:
        raise ValueError("no")
    if "sleeps" in event:
        time.sleep(event["sleeps"])
    return {"size": len(event.get("payload", "")), "id": context.aws_request_id, "text": "y" * event.get("bytes", 0)}
"""
Make = Callable[..., Any]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return a function that makes a worker; its keywords are fields of the function."""
    monkeypatch.setattr(lambda_runtime, "_PYTHON_WORKER_SCRIPT", lambda_runtime._PYTHON_WORKER_SCRIPT)
    for name in ("invoke", "_spawn", "_read_stderr"):
        monkeypatch.setattr(lambda_runtime.Worker, name, getattr(lambda_runtime.Worker, name))
    install_worker_calls()
    made = []

    def make_worker(code: str = HANDLER, **fields: Any) -> Any:
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("code.py", code)
        arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
        config = {"FunctionName": "f", "FunctionArn": arn, "Handler": "code.handler", "Timeout": 30, **fields}
        made.append(lambda_runtime.Worker("f", {"Runtime": "python3.11", **config}, package.getvalue()))
        return made[-1]

    yield make_worker
    for worker in made:
        worker.kill()


def test_a_call_has_all_of_its_lines(make: Make) -> None:
    worker = make()
    for number, lines in enumerate((3, 0, 20_000)):
        answer = worker.invoke({"name": f"n{number}", "lines": lines}, f"call-{number}")
        assert (answer["status"], answer["cold_start"]) == ("ok", number == 0)
        start = [] if number else ["start " + "x" * 100_000]
        assert answer["log"].split("\n") == [*start, *(f"n{number} {line}" for line in range(lines)), "cut off"]
        assert answer["result"]["id"] == f"call-{number}"


def test_requests_and_answers_may_be_larger_than_a_pipe(make: Make) -> None:
    answer = make().invoke({"payload": "z" * 5_000_000, "bytes": 5_000_000}, "call")
    assert answer["result"]["size"] == 5_000_000
    assert answer["result"]["text"] == "y" * 5_000_000


def test_the_size_of_an_answer_is_that_of_its_text(make: Make) -> None:
    worker = make()
    worker.invoke({"bytes": 100_000}, "call")
    assert 100_000 < (take_answer_bytes() or 0) < 100_200
    assert take_answer_bytes() is None
    worker.invoke({"exit": 1}, "call")
    assert take_answer_bytes() is None


def test_calls_need_no_thread(make: Make) -> None:
    worker = make()
    worker.invoke({}, "first")
    threads = threading.active_count()
    worker.invoke({}, "second")
    assert threading.active_count() <= threads
    assert not worker._stderr_thread.is_alive()


def test_a_failed_call_has_its_lines_and_ends_the_worker(make: Make) -> None:
    worker = make()
    answer = worker.invoke({"name": "n", "lines": 2, "fails": True}, "call")
    assert (answer["status"], answer["error"]) == ("error", "no")
    assert answer["log"].endswith("n 0\nn 1\ncut off")
    assert worker.invoke({}, "next")["cold_start"]


def test_a_worker_that_ends_has_its_lines_too(make: Make) -> None:
    worker = make()
    answer = worker.invoke({"name": "n", "lines": 2, "exit": 3}, "call")
    assert (answer["status"], answer["error"]) == ("error", "Worker process died")
    assert answer["log"].endswith("n 0\nn 1\ncut off") or answer["log"].endswith("n 0\nn 1")
    assert worker.invoke({}, "next")["status"] == "ok"


def test_a_call_that_takes_too_long_ends_the_worker(make: Make) -> None:
    worker = make(Timeout=1)
    answer = worker.invoke({"name": "n", "lines": 1, "sleeps": 60}, "call")
    assert (answer["status"], answer["error"]) == ("error", "Task timed out after 1.00 seconds")
    assert answer["log"].endswith("n 0\ncut off") or answer["log"].endswith("n 0")
    assert worker.invoke({}, "next")["status"] == "ok"


def test_other_lines_in_the_standard_output_are_skipped(make: Make) -> None:
    noise = '{"status": "no answer"}\n{not JSON\n\ntext\n'
    assert make().invoke({"write": noise}, "call")["result"]["id"] == "call"


def test_an_answer_may_arrive_in_parts() -> None:
    lines = _Lines()
    assert lines.answer(b'noise\n{"status": "o') is None
    assert lines.answer(b'k", "result"') is None
    assert lines.answer(b": 1}\nlater") == {"status": "ok", "result": 1}


def test_a_worker_that_cannot_start_says_why(make: Make) -> None:
    with pytest.raises(RuntimeError, match="Worker init failed: no module"):
        make("raise ImportError('no module')").invoke({}, "call")


def test_a_changed_worker_script_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_runtime, "_PYTHON_WORKER_SCRIPT", "print('new')")
    with pytest.raises(MinistackChangedError):
        install_worker_calls()
