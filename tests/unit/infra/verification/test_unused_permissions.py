"""The comparison of permissions with the calls of the end-to-end tests, on small recordings."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.recording import ROOT, SESSION_FILE, sources_digest
from tests.recorded_calls import unused_permissions
from tests.recorded_calls.reasons import REASONS, Reason

BUCKET = "arn:aws:s3:::results"
READER = "PlanRole12345678"
PULL = Reason("JobRole*", "ecr:*", "*:repository/*", "SageMaker pulls the image.")


def write_recording(folder: Path, statements: list[Any], *calls: str, **session: Any) -> None:
    """Write the recording of a complete run: one role with statements, and calls as `action
    resource`.
    """
    roles = {"stage-PlanRole-1": {"logical_id": READER, "statements": statements}}
    (folder / "policies-1.json").write_text(json.dumps(roles))
    lines = [
        {"role": "stage-PlanRole-1", "action": action, "resource": resource, "decision": "Allow"}
        for action, _, resource in (call.partition(" ") for call in calls)
    ]
    (folder / "calls-1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "tests/e2e").rglob("test_*.py"))
    complete = {"digest": sources_digest(), "files": files, "failed": [], "skipped": [], "selected": False}
    (folder / SESSION_FILE).write_text(json.dumps({**complete, **session}))


def allow(action: str | list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def compare(folder: Path, monkeypatch: pytest.MonkeyPatch, *reasons: Reason) -> str:
    """Return the failure of the comparison; empty if there is none."""
    monkeypatch.setattr(unused_permissions, "REASONS", reasons)
    try:
        unused_permissions.main(folder)
    except SystemExit as failure:
        return str(failure)
    return ""


def test_used_and_explained_permissions_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recording(tmp_path, [allow(["s3:GetObject", "s3:PutObject"], f"{BUCKET}/*")], f"s3:GetObject {BUCKET}/a")
    reason = Reason("PlanRole*", "s3:PutObject", f"{BUCKET}/*", "AWS writes it.")
    assert compare(tmp_path, monkeypatch, reason) == ""
    assert (
        "2 permissions: calls of the end-to-end tests used 1, and reasons explain the other 1"
        in capsys.readouterr().out
    )


def test_a_permission_without_use_and_reason_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recording(
        tmp_path,
        [allow(["s3:GetObject", "s3:PutObject"], f"{BUCKET}/*")],
        f"s3:GetObject {BUCKET}/a",
        f"s3:PutObject {BUCKET}-of-others/a",
        skipped=["tests/e2e/test_instances.py::test_disk"],
    )
    failure = compare(tmp_path, monkeypatch)
    assert f"No end-to-end test uses these permissions:\n  {READER}: s3:PutObject on {BUCKET}/*\n" in failure
    assert "GetObject" not in failure
    assert "Tests that were skipped may need it: tests/e2e/test_instances.py::test_disk." in failure
    assert "Remove the permission from its role, in infra/." in failure


def test_a_denied_call_uses_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recording(tmp_path, [allow("s3:GetObject", f"{BUCKET}/*")], f"s3:GetObject {BUCKET}/a")
    calls = tmp_path / "calls-1.jsonl"
    calls.write_text(calls.read_text().replace('"Allow"', '"ImplicitDeny"'))
    assert f"{READER}: s3:GetObject on {BUCKET}/*" in compare(tmp_path, monkeypatch)


def test_a_reason_that_covers_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recording(tmp_path, [allow("s3:GetObject", f"{BUCKET}/*")], f"s3:GetObject {BUCKET}/a")
    used = Reason("PlanRole*", "s3:GetObject", f"{BUCKET}/*", "Only in some runs.")
    failure = compare(tmp_path, monkeypatch, used, PULL)
    assert failure.startswith("These reasons cover no permission of a role. Remove them from")
    assert "JobRole*: ecr:* on *:repository/* (SageMaker pulls the image.)" in failure
    assert "Only in some runs" not in failure


@pytest.mark.parametrize(
    ("session", "problem"),
    [
        ({"digest": "other"}, "it is of other sources"),
        ({"files": []}, "it lacks tests/e2e/"),
        ({"selected": True}, "it is of selected tests"),
        (
            {"failed": ["tests/e2e/test_instances.py::test_disk"]},
            "tests failed: tests/e2e/test_instances.py::test_disk",
        ),
    ],
)
def test_an_incomplete_recording_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: dict[str, Any], problem: str
) -> None:
    write_recording(tmp_path, [], **session)
    failure = compare(tmp_path, monkeypatch)
    assert problem in failure
    assert failure.endswith("Run `make test` again.")


def test_without_a_recording_the_tests_must_run_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "run `make test` first" in compare(tmp_path, monkeypatch)


def test_every_reason_says_why() -> None:
    assert [reason for reason in REASONS if not reason.why.endswith(".")] == []
