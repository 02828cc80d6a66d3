"""What libraries print in the process of a job becomes events of its log."""

import json
import subprocess
import sys

from contract import environment
from tests.unit.warm_process import REPOSITORY

VARIABLES = {environment.EXECUTION_ID: "e-1", environment.JOB_ID: "job-1", environment.ATTEMPT: "2"}
PRINTING = """
import sys, threading, warnings
from scoring.job_log.events import log_event
from scoring.job_log.own_output import end_own_output, log_own_output
log_own_output()
print("fitting", end="")
print(" the model")
sys.stdout.buffer.write(b"raw \\xff bytes\\n")
warnings.warn("did not converge")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
log_event("rounds_ended", rounds=3)
print("no end", end="")
end_own_output()
"""


def run(code: str, **variables: str) -> tuple[list[str], list[str]]:
    path = f"{REPOSITORY / 'inference_container'}:{REPOSITORY}"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=60,
        check=True,
    )
    return ended.stdout.splitlines(), ended.stderr.splitlines()


def test_prints_warnings_and_errors_of_threads_are_events() -> None:
    out, err = run(PRINTING, **VARIABLES)
    lines = [json.loads(line) for line in [*out, *err]]
    for line in lines:
        assert line.items() >= {"execution": "e-1", "job": "job-1", "attempt": "2"}.items()
    assert [line.get("text") or line["event"] for line in lines[: len(out)]] == [
        "fitting the model",
        "raw \\xff bytes",
        "rounds_ended",
        "no end",
    ]
    printed = [line["text"] for line in lines[len(out) :]]
    assert any("did not converge" in text for text in printed)
    assert "ZeroDivisionError: division by zero" in printed


def test_outside_of_a_job_nothing_changes() -> None:
    out, _ = run(PRINTING)
    assert "fitting the model" in out
    assert '{"event": "rounds_ended", "rounds": 3}' in out
