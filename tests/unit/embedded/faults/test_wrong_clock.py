"""The wrong clock of a process: what its Python code reads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from embedded.faults import wrong_clock

START = f"""
import datetime, json, time
from datetime import datetime as imported
from time import time as bound
import importlib.util
spec = importlib.util.spec_from_file_location("wrong_clock", {wrong_clock.__file__!r})
clock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(clock)
real, began = time.time(), time.monotonic()
"""
UTC = "datetime.timezone.utc"


def in_process(code: str) -> Any:
    """Run code in a new process, and return the JSON that it prints."""
    ended = subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


READINGS = (
    "time.time()",
    "bound()",
    "time.time_ns() / 1e9",
    f"datetime.datetime.now({UTC}).timestamp()",
    f"imported.now(tz={UTC}).timestamp()",
    "datetime.datetime.now().timestamp()",
    "datetime.datetime.today().timestamp()",
    f"datetime.datetime.utcnow().replace(tzinfo={UTC}).timestamp()",
    "time.mktime(time.localtime())",
    "time.mktime(time.strptime(time.strftime('%Y%m%d%H%M%S'), '%Y%m%d%H%M%S'))",
)


def test_all_readings_of_the_clock_are_wrong_by_the_same_seconds() -> None:
    values = in_process(f"clock.set_clock(-3600)\nprint(json.dumps([{', '.join(f'{r} - real' for r in READINGS)}]))")
    assert dict(zip(READINGS, values, strict=True)) == pytest.approx(dict.fromkeys(READINGS, -3600), abs=5)


def test_the_monotonic_clock_and_given_times_stay_right() -> None:
    code = """
clock.set_clock(86400)
print(json.dumps([time.monotonic() - began, time.gmtime(0).tm_year, datetime.datetime.fromtimestamp(0).year]))
"""
    elapsed, *years = in_process(code)
    assert 0 <= elapsed < 60
    assert set(years) <= {1969, 1970}


def test_a_slow_clock_passes_less_time() -> None:
    code = """
clock.set_clock(0, 0.5)
first, then = time.time(), time.monotonic()
time.sleep(0.2)
print(json.dumps([(time.time() - first) / (time.monotonic() - then), first - real]))
"""
    rate, offset = in_process(code)
    assert rate == pytest.approx(0.5, abs=0.1)
    assert abs(offset) < 5


def test_a_process_follows_the_file_and_can_have_the_right_clock_again(tmp_path: Path) -> None:
    file = str(tmp_path / "clock.json")
    wrong_clock.write(file, 60)
    code = f"""
clock.follow({file!r})
seen = [time.time() - real]
clock.write({file!r}, -60)
seen.append(time.time() - real)
clock.write({file!r}, 0)
print(json.dumps([*seen, time.time() - real]))
"""
    assert in_process(code) == pytest.approx([60, -60, 0], abs=5)
    setting = wrong_clock.write(file, 60)
    assert wrong_clock.time_of(setting) - setting[2] / 1e9 == pytest.approx(60, abs=5)


def test_signatures_have_the_time_of_the_wrong_clock() -> None:
    code = """
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
clock.set_clock(-7200)
request = AWSRequest("GET", "https://localhost/")
SigV4Auth(Credentials("a", "b"), "s3", "us-east-1").add_auth(request)
signed = datetime.datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
print(json.dumps(signed.replace(tzinfo=datetime.timezone.utc).timestamp() - real))
"""
    assert in_process(code) == pytest.approx(-7200, abs=5)


def test_another_python_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_clock, "_NO_ARGUMENTS", 0x1)
    with pytest.raises(RuntimeError, match="this Python implements time_ns in another way"):
        wrong_clock.set_clock(1)
