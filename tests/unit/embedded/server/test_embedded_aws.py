"""Start, access control and shutdown of the server."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from embedded.server.detached import detached_endpoint, start_detached, stop_detached
from embedded.server.embedded_aws import EmbeddedAws
from embedded.server.endpoint import Endpoint
from embedded.server.launch import EmbeddedAwsError
from tests.unit.embedded.server.test_access import call

PROJECT = Path(__file__).resolve().parents[4]

# Starts an embedded AWS and a worker process of a function, prints their process ids, and waits.
STARTER = """
import io, json, sys, time, zipfile
sys.path.insert(0, {project!r})
from embedded.server.embedded_aws import EmbeddedAws
with EmbeddedAws() as aws:
    iam, functions = aws.endpoint.client("iam"), aws.endpoint.client("lambda")
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps({{"Statement": []}}))["Role"]["Arn"]
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("f.py", "import os\\ndef handler(event, context):\\n    return os.getpid()\\n")
    functions.create_function(FunctionName="f", Runtime="python3.13", Handler="f.handler", Role=role,
                              Code={{"ZipFile": package.getvalue()}})
    worker = json.loads(functions.invoke(FunctionName="f")["Payload"].read())
    print(json.dumps({{"server": aws.process_id, "worker": worker, "root": str(aws.root)}}), flush=True)
    time.sleep(600)
"""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def left_behind() -> set[Path]:
    """Return the files that ministack writes to temporary folders by default."""
    folders = {Path("/tmp"), Path(tempfile.gettempdir())}
    return {path for folder in folders for path in folder.glob("ministack*")}


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # A process whose parent was killed stays a zombie if nobody reaps it.
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_everything_ends_with_the_starter(number: signal.Signals) -> None:
    code = STARTER.format(project=str(PROJECT))
    before = left_behind()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as starter:
        assert starter.stdout is not None
        started = json.loads(starter.stdout.readline())
        assert is_running(started["server"])
        assert is_running(started["worker"])
        starter.send_signal(number)
        try:
            starter.wait(30)
        finally:
            starter.kill()
    wait_until(lambda: not is_running(started["server"]), "the server has ended")
    wait_until(lambda: not is_running(started["worker"]), "the function's worker has ended")
    wait_until(lambda: not Path(started["root"]).exists(), "its folder is gone")
    assert left_behind() - before == set()


def test_the_server_listens_on_loopback_with_tls_only(aws: EmbeddedAws) -> None:
    port = int(aws.endpoint.url.rpartition(":")[2])
    files = Path(f"/proc/{aws.process_id}/fd").iterdir()
    sockets = {file.readlink().name.removeprefix("socket:[").removesuffix("]") for file in files}
    listening = [
        line.split()[1]
        for file in ("/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6")
        for line in Path(file).read_text().splitlines()[1:]
        if line.split()[9] in sockets and line.split()[3] in ("0A", "07")
    ]
    assert listening == [f"0100007F:{port:04X}"]
    with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
        urllib.request.urlopen(aws.endpoint.url, timeout=10)  # noqa: S310 - our own https address
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/1.1 403" not in plain.recv(1024)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_certificate_is_valid_for_local_names(aws: EmbeddedAws, host: str) -> None:
    port = aws.endpoint.url.rpartition(":")[2]
    client = aws.endpoint.session().client(
        "sts", endpoint_url=f"https://{host}:{port}", verify=str(aws.endpoint.ca_bundle)
    )
    assert client.get_caller_identity()["Account"] == aws.endpoint.account_id


def test_unknown_keys_are_refused(aws: EmbeddedAws) -> None:
    endpoint = aws.endpoint
    others = (
        (endpoint.access_key_id, "wrong"),
        ("AKIAUNKNOWNUNKNOWN00", endpoint.secret_access_key),
        ("test", "test"),
        (endpoint.account_id, endpoint.secret_access_key),
    )
    for key, secret in others:
        other = Endpoint(endpoint.url, endpoint.ca_bundle, endpoint.region, endpoint.account_id, key, secret)
        with pytest.raises(ClientError) as refused:
            other.client("s3").list_buckets()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_the_environment_variables_configure_an_sdk(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws.endpoint.environment().items():
        monkeypatch.setenv(name, value)
    assert boto3.Session().client("sts").get_caller_identity()["Account"] == aws.endpoint.account_id


def test_policies_are_enforced(aws: EmbeddedAws) -> None:
    iam, endpoint = aws.endpoint.client("iam"), aws.endpoint
    iam.create_user(UserName="reader")
    policy = {"Statement": [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}]}
    iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    reader = Endpoint(
        endpoint.url,
        endpoint.ca_bundle,
        endpoint.region,
        endpoint.account_id,
        key["AccessKeyId"],
        key["SecretAccessKey"],
    )
    reader.client("s3").list_buckets()
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.client("s3").create_bucket(Bucket="not-for-readers")
    with pytest.raises(ClientError, match="sagemaker:ListProcessingJobs"):
        reader.client("sagemaker").list_processing_jobs()


def test_without_iam_all_is_allowed_and_a_given_root_is_kept(tmp_path: Path) -> None:
    with EmbeddedAws(root=tmp_path / "aws", enforce_iam=False) as aws:
        aws.endpoint.client("s3").create_bucket(Bucket="bucket")
        credentials = aws.endpoint.client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{aws.endpoint.account_id}:role/nobody", RoleSessionName="session"
        )["Credentials"]
        nobody = boto3.client(
            "s3", endpoint_url=aws.endpoint.url, verify=str(aws.endpoint.ca_bundle), region_name="us-east-1",
            aws_access_key_id=credentials["AccessKeyId"], aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
        )  # fmt: skip
        assert [bucket["Name"] for bucket in nobody.list_buckets()["Buckets"]] == ["bucket"]
        guest = replace(aws.endpoint, access_key_id="test", secret_access_key="test")
        with pytest.raises(ClientError) as refused:
            guest.client("s3").list_buckets()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        assert call(aws.endpoint, "POST", "/_ministack/reset")[0] == 403
        assert call(aws.endpoint, "GET", "/")[0] == 403
    assert "S3 bucket created: bucket" in (tmp_path / "aws" / "server.log").read_text()


def test_a_port_in_use_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedAwsError, match=f"port {port} of 127.0.0.1 cannot be used"):
            EmbeddedAws(port=port).start()


@pytest.mark.parametrize("act", [detached_endpoint, start_detached, stop_detached])
def test_a_folder_that_others_can_write_is_not_trusted(
    act: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    # Another user's server, and a process of the victim to kill.
    state = {"pid": os.getpid(), "endpoint": json.loads(Endpoint("https://x:1", folder, "r", "1", "k", "s").to_json())}
    (folder / "embedded-aws.json").write_text(json.dumps(state))
    (folder / "aws").mkdir()
    for mode in (0o775, 0o757, 0o777):
        folder.chmod(mode)
        with pytest.raises(EmbeddedAwsError, match=r"other users can write the folder .*chmod go-w"):
            act(folder)
    folder.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(EmbeddedAwsError, match="a symbolic link is not followed"):
        act(link)
    with pytest.raises(EmbeddedAwsError, match="control characters in its path"):
        act(tmp_path / "a\x1b]52;c;eA==\x07")
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(EmbeddedAwsError, match="belongs to another user"):
        act(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["aws", "embedded-aws.json"]


def test_a_detached_embedded_aws_runs_until_it_is_stopped(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(PROJECT)!r})\nfrom pathlib import Path\n"
    code += f"from embedded.server.detached import start_detached\nstart_detached(Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    try:
        endpoint = detached_endpoint(tmp_path)
        assert endpoint is not None
        endpoint.client("s3").list_buckets()
        state_file = tmp_path / "embedded-aws.json"
        assert tmp_path.stat().st_mode & 0o777 == 0o700
        assert state_file.stat().st_mode & 0o777 == 0o600
        pid = json.loads(state_file.read_text())["pid"]
        with pytest.raises(EmbeddedAwsError, match="already runs"):
            start_detached(tmp_path)
    finally:
        assert stop_detached(tmp_path)
    assert not is_running(pid)
    assert list(tmp_path.iterdir()) == []
    assert detached_endpoint(tmp_path) is None
    assert not stop_detached(tmp_path)
