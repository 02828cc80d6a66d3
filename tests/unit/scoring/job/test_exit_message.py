import errno
import json
from pathlib import Path

import pytest

from contract.container_paths import ContainerPaths
from contract.status import FailureKind
from scoring.errors import log_error, one_line, text_of, unforeseen
from scoring.job.exit_message import compose, count_hosts, write
from scoring.job_log.events import log_event
from tests.unit.hostile_text import HOSTILE, is_printable


@pytest.mark.parametrize("hosts", [1, 2, 7, 20, 100])
@pytest.mark.parametrize("text", ["short", "ü€😀" * 500, "line one\nline two " * 100])
def test_messages_of_all_hosts_fit_in_1024_bytes_of_utf8(hosts: int, text: str) -> None:
    message = compose(FailureKind.DATA, text, hosts)
    assert len(message.encode("utf-8")) * hosts + (hosts - 1) <= 1_024
    assert message.startswith("DATA:")
    assert "\n" not in message


def test_message_that_fits_is_unchanged() -> None:
    assert compose(FailureKind.MODEL, "model 'a' is not what its record says", 2) == (
        "MODEL: model 'a' is not what its record says"
    )


def test_invalid_unicode_does_not_hide_the_message() -> None:
    assert compose(FailureKind.DATA, "object 'a\udcff'", 1) == r"DATA: object 'a\udcff'"


@pytest.mark.parametrize("hosts", [1, 20])
def test_control_characters_of_a_model_are_visible(hosts: int) -> None:
    message = compose(FailureKind.MODEL, HOSTILE, hosts)
    assert is_printable(message)
    assert message.startswith(r"MODEL: a\x1b]52;c;")


def test_texts_of_exceptions_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError(f"{HOSTILE}\ud800\nline two")
    error.add_note(HOSTILE)
    for text in (one_line(error), text_of(error)):
        assert is_printable(text)
        assert "\n" not in text
    log_error(error)
    log_event("failed", reason=f"{HOSTILE}\ud800")
    captured = capsys.readouterr()
    assert is_printable(captured.out + captured.err)
    assert captured.err.endswith("\n")
    assert "line two" in captured.err
    assert json.loads(captured.out) == {"event": "failed", "reason": f"{HOSTILE}\\ud800"}


def test_an_exception_without_a_readable_text_has_a_line() -> None:
    class NoText(Exception):  # noqa: N818 - named by the model
        def __str__(self) -> str:
            raise RuntimeError(HOSTILE)

    assert one_line(NoText()) == "NoText: (its text cannot be read: RuntimeError)"


def test_number_of_hosts_comes_from_the_resource_configuration(tmp_path: Path) -> None:
    paths = ContainerPaths(tmp_path)
    assert count_hosts(paths.resource_config) == 1
    paths.resource_config.parent.mkdir(parents=True)
    paths.resource_config.write_text(json.dumps({"hosts": ["algo-1", "algo-2", "algo-3", "algo-4"]}))
    write(paths, FailureKind.DATA, "x" * 2_000)
    assert len(paths.exit_message.read_bytes()) <= 256
    assert paths.exit_message.read_text().endswith("x… "), "the message of the next instance follows"


def test_a_message_that_cannot_be_written_is_only_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "output").write_text("a file where the folder should be")
    write(ContainerPaths(tmp_path), FailureKind.DATA, "text")
    assert "FileExistsError" in capsys.readouterr().err


def test_an_unforeseen_error_of_a_full_disk_names_the_remedy() -> None:
    failure = unforeseen(OSError(errno.ENOSPC, "value of the data"))
    assert (failure.kind, failure.text) == (
        FailureKind.CONFIGURATION,
        "a disk is full (OSError (No space left on device)): raise the job's volume size",
    )
    failure = unforeseen(PermissionError(errno.EACCES, "value of the data"))
    assert failure.kind == FailureKind.UNKNOWN
    assert failure.text == "PermissionError (Permission denied); its text is in the job's log"
