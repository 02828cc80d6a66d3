"""The shell that `fleetscore up` prepares reaches the embedded AWS only, whatever it was set up for
before.
"""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from cli import main as entry
from cli.command_line.click_classes import global_options
from cli.commands.local.local import export_lines, variables_to_unset
from contract.environment import EMBEDDED_AWS
from embedded.server.endpoint import Endpoint

ROOT = Path(__file__).parents[4]
CONFIG = """
[default]
region = eu-west-3
endpoint_url = https://real.example
ca_bundle = /etc/real-ca.pem
role_arn = arn:aws:iam::111111111111:role/real
source_profile = other
services = real
sso_account_id = 111111111111
use_fips_endpoint = true
ignore_configured_endpoint_urls = true
[profile other]
endpoint_url = https://real.example
[services real]
s3 =
  endpoint_url = https://real-s3.example
sfn =
  endpoint_url = https://real-states.example
"""
SETTINGS = {
    "AWS_PROFILE": "other",
    "AWS_DEFAULT_PROFILE": "other",
    "AWS_ACCESS_KEY_ID": "AKIAREALREALREALREAL",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_ROLE_ARN": "arn:aws:iam::111111111111:role/real",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/real/token",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/real",
    "AWS_REGION": "eu-west-3",
    "AWS_CA_BUNDLE": "/etc/real-ca.pem",
    "AWS_ENDPOINT_URL": "https://real.example",
    "AWS_ENDPOINT_URL_S3": "https://real-s3.example",
    "AWS_ENDPOINT_URL_SFN": "https://real-states.example",
    "AWS_ENDPOINT_URL_DYNAMODB": "https://real-table.example",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
}
CLIENTS = """
import boto3, json
session = boto3.Session()
clients = [session.client(name) for name in ("s3", "stepfunctions", "dynamodb", "cloudformation", "sagemaker")]
key = session.get_credentials().get_frozen_credentials()
print(json.dumps({
    "urls": sorted({client.meta.endpoint_url for client in clients}),
    "regions": sorted({client.meta.region_name for client in clients}),
    "verify": sorted({str(client._endpoint.http_session._verify) for client in clients}),
    "key": [key.access_key, key.secret_key, key.token],
}))
"""


@pytest.fixture
def endpoint(tmp_path: Path) -> Endpoint:
    (tmp_path / "ca.pem").touch()
    return Endpoint("https://localhost:4566", tmp_path / "ca.pem", "us-east-1", "123456789012", "AKIALOCAL", "local")


@pytest.fixture
def developer(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a developer whose AWS settings redirect every client."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = real\naws_secret_access_key = real\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, **SETTINGS, "HOME": str(tmp_path)}


@pytest.mark.parametrize("files_named_by_variables", [False, True])
def test_all_clients_of_the_shell_use_the_embedded_aws(
    endpoint: Endpoint, developer: dict[str, str], files_named_by_variables: bool
) -> None:
    if files_named_by_variables:
        developer["AWS_CONFIG_FILE"] = f"{developer['HOME']}/.aws/config"
        developer["AWS_SHARED_CREDENTIALS_FILE"] = f"{developer['HOME']}/.aws/credentials"
    environment = {name: value for name, value in endpoint.environment().items() if value}
    lines = export_lines(environment, variables_to_unset(environment, developer))
    script = "\n".join([*lines, f'"{sys.executable}" -c "$1"'])
    done = subprocess.run(
        ["sh", "-euc", script, "sh", CLIENTS], env=developer, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "urls": ["https://localhost:4566"],
        "regions": ["us-east-1"],
        "verify": [str(endpoint.ca_bundle)],
        "key": ["AKIALOCAL", "local", None],
    }


@pytest.mark.parametrize(
    "command",
    [
        "up --bogus",
        "--bogus up",
        "--stage up",
        "--stage dev up x",
        "up --state-dir",
        "--stage run up --state-dir /dev/null",
    ],
)
def test_a_failed_up_stops_the_line(command: str) -> None:
    line = f'eval "$("{sys.executable}" -m cli.main {command})" && echo "went on with the real account"'
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_room_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "aws"))

    monkeypatch.setattr("embedded.server.detached.start_detached", fail)
    assert entry.main(["up", "--state-dir", str(tmp_path / "state")]) == 1
    captured = capsys.readouterr()
    assert captured.out == "false\n"
    assert f"cannot be used: [Errno 28] No space left on device: '{tmp_path}/aws'. Check that you may" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("content", ["{", "[]", '{"pid": null}', '{"pid": 1, "endpoint": {"url": 1}}'])
@pytest.mark.parametrize("command", ["up", "down"])
def test_a_damaged_state_file_is_reported(
    command: str, content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    (state / "aws").mkdir(parents=True)
    state.chmod(0o700)
    (state / "embedded-aws.json").write_text(content)
    with (state / "aws" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert entry.main([command, "--state-dir", str(state)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ("false\n" if command == "up" else "")
    assert "embedded-aws.json is damaged: end the process that has" in captured.err


def test_an_up_that_cannot_be_imported_stops_the_line() -> None:
    code = "import sys; sys.modules['rich_click'] = None; from cli.main import main; sys.exit(main(['up']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "false\n")


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), MemoryError(), RuntimeError("a bug"), SystemExit(3)])
def test_an_interrupted_or_crashed_up_stops_the_line(
    failure: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise failure

    monkeypatch.setattr("cli.commands.local.local.require_checkout", fail)
    with suppress(SystemExit):
        assert entry.main(["up"]) != 0
    assert capsys.readouterr().out == "false\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_up_is_imported_stops_the_line(number: signal.Signals) -> None:
    code = (
        "import os, sys\n"
        "from cli.main import main\n"
        "class Interrupting:\n"
        f"    def find_spec(self, *_): os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "sys.exit(main(['up']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "false\n"), done.stderr


def test_the_command_is_found_behind_every_global_option() -> None:
    with_value = {option.opts[0] for option in global_options(hidden=False) if not getattr(option, "is_flag", False)}
    assert with_value == entry._OPTIONS_WITH_VALUE


@pytest.mark.parametrize("command", ["models show up --bogus", "status --bogus up", "down --bogus"])
def test_other_commands_never_print_false(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(command.split()) != 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", [["run"], ["models", "list"], ["schedules", "list"]])
@pytest.mark.parametrize("source", ["--profile", "AWS_PROFILE"])
def test_a_prepared_shell_refuses_a_profile(
    command: list[str], source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(EMBEDDED_AWS, "https://localhost:4566")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://localhost:4566")
    if source == "AWS_PROFILE":
        monkeypatch.setenv("AWS_PROFILE", "prod")
    assert entry.main([*command, *(["--profile", "prod"] if source == "--profile" else [])]) == 2
    assert capsys.readouterr().err == (
        f"fleetscore: {source}: got 'prod', expected no profile, because `fleetscore up` has pointed this shell at the "
        "embedded AWS at https://localhost:4566. Open another shell to use the profile.\n"
    )
