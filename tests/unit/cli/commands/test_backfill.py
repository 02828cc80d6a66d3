import pytest

from cli.main import main


def test_dry_run_needs_no_aws(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--dataset", "f-{date}", "--from", "2026-01-01", "--to", "2026-01-02", "--name", "n", "--dry-run"]
    assert main(["backfill", *words]) == 0
    text = capsys.readouterr().out
    assert "f-2026-01-02" in text
    assert "n-20260102" in text
