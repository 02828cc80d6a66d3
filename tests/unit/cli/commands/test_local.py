import signal
import subprocess
import sys
from pathlib import Path

import pytest

import embedded
from cli.commands.local import local
from cli.main import ended_by_signals, main
from embedded.server.endpoint import Endpoint
from embedded.server.launch import EmbeddedAwsError


def test_exports_are_quoted_and_unset_account_variables() -> None:
    lines = local.export_lines({"AWS_CA_BUNDLE": "/a folder/it's/ca.pem"}, ["AWS_PROFILE"])
    script = "\n".join(["export AWS_PROFILE=prod", *lines, 'printf "%s|%s" "$AWS_CA_BUNDLE" "${AWS_PROFILE-unset}"'])
    shell = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    assert shell.stdout == "/a folder/it's/ca.pem|unset"


def test_down_without_an_embedded_aws_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", "--state-dir", str(tmp_path / "state")]) == 0
    assert "No embedded AWS was running in" in capsys.readouterr().out


def test_failed_start_of_the_embedded_aws_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Path, **__: object) -> None:
        raise EmbeddedAwsError("port 1 of 127.0.0.1 cannot be used")

    monkeypatch.setattr("embedded.server.detached.start_detached", refuse)
    assert main(["up", "--state-dir", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "false\n"
    assert "fleetscore: port 1 of 127.0.0.1 cannot be used" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_act_like_ctrl_c_and_handlers_are_restored(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), ended_by_signals():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("command", ["up", "down"])
def test_up_and_down_without_embedded_packages_say_what_they_need(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # With None in sys.modules, importing the module raises ModuleNotFoundError.
    monkeypatch.setitem(sys.modules, "embedded.server.process", None)
    assert main([command, "--state-dir", str(tmp_path / "state")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ("false\n" if command == "up" else "")
    assert "no Python package 'embedded.server.process'" in captured.err
    assert "run `make setup` there" in captured.err
    assert not (tmp_path / "state").exists()


def test_up_without_the_cdk_app_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded, "__file__", str(tmp_path / "site-packages" / "embedded" / "__init__.py"))
    assert main(["up", "--state-dir", str(tmp_path / "state")]) == 2
    assert f"There is no CDK app at {tmp_path}/site-packages/app.py" in capsys.readouterr().err


def test_down_warns_a_shell_that_still_points_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = Endpoint("https://localhost:4566", tmp_path / "ca.pem", "us-east-1", "123456789012", "key", "secret")
    monkeypatch.setattr("embedded.server.detached.detached_endpoint", lambda _: endpoint)
    monkeypatch.setattr("embedded.server.detached.stop_detached", lambda _, delete_data: not delete_data)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    assert main(["down", "--state-dir", str(tmp_path / "state")]) == 0
    captured = capsys.readouterr()
    assert captured.out == "The embedded AWS has ended.\n"
    assert "run: unset FLEETSCORE_EMBEDDED_AWS AWS_ENDPOINT_URL " in captured.err
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://localhost:1")
    assert main(["down", "--state-dir", str(tmp_path / "state")]) == 0
    assert capsys.readouterr().err == ""
