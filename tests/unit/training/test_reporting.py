"""The failure file, and the version in the report."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.container_paths import TrainingPaths
from contract.status import FailureKind
from scoring.job_log.events import log_event
from tests.unit.hostile_text import HOSTILE, is_printable
from training.job import installed_version
from training.reporting import failure_line, write_failure


@given(st.sampled_from(FailureKind), st.text(max_size=2_000))
def test_a_failure_is_one_short_line_that_begins_with_its_kind(kind: FailureKind, text: str) -> None:
    line = failure_line(kind, text)
    assert line.startswith(f"{kind.value}:")
    assert len(line) <= 1_024
    assert "\n" not in line
    assert is_printable(line)
    line.encode("utf-8")


def test_events_of_the_log_are_printable_json(capsys: pytest.CaptureFixture[str]) -> None:
    log_event("failed", reason=f"{HOSTILE}\ud800")
    line = capsys.readouterr().out
    assert is_printable(line)
    assert json.loads(line)["reason"] == f"{HOSTILE}\\ud800"


def test_a_long_text_ends_with_an_ellipsis() -> None:
    assert failure_line(FailureKind.DATA, "x" * 5_000) == "DATA: " + "x" * 1_017 + "…"


def test_the_failure_file_is_where_sagemaker_reads_it(tmp_path: Path) -> None:
    write_failure(TrainingPaths(tmp_path), FailureKind.MODEL, "bad")
    assert (tmp_path / "output" / "failure").read_text() == "MODEL: bad"


def test_the_framework_version_is_that_of_the_installed_library() -> None:
    assert installed_version("sklearn").count(".") >= 1
    assert installed_version("xgboost").count(".") >= 1
    assert installed_version("no-such-framework") == ""
