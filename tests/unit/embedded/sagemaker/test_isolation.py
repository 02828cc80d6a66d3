"""Isolated jobs get nothing from the machine or from the embedded AWS."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded.server.embedded_aws import EmbeddedAws
from tests.unit.attacks import attacks, isolation_of_machine, left_files, listening
from tests.unit.embedded.sagemaker.account import Aws, job_request, logged, run, s3_outputs
from tests.unit.embedded.sagemaker.conftest import ServiceMaker

ROOT = Path(__file__).parents[4]

REPORT = """
(OUTPUT / "own/file").write_text("x")
(OUTPUT / "own/link").symlink_to(target["secret_files"][0])
(OUTPUT / "replaced").rmdir()
(OUTPUT / "replaced").symlink_to(os.path.dirname(target["secret_files"][0]))
(ML / "output/message").symlink_to(target["secret_files"][0])
print(json.dumps(got))
"""
"""Program of a job that leaves links where the service reads the job's files."""


@pytest.mark.parametrize("by", ["namespaces", "landlock"])
def test_a_job_gets_nothing_of_the_machine_or_of_the_server(
    *,
    embedded_aws: EmbeddedAws,
    aws: Aws,
    make_service: ServiceMaker,
    build_image: Callable[..., str],
    prefix: str,
    tmp_path: Path,
    by: str,
) -> None:
    (tmp_path / "home/.aws").mkdir(parents=True)
    (tmp_path / "home/.aws/credentials").write_text("[default]\n")
    folders = [tmp_path / "home", ROOT]
    service = make_service(isolation=isolation_of_machine(by))
    code = attacks(
        secret=aws.endpoint.secret_access_key,
        secret_files=[
            tmp_path / "home/.aws/credentials",
            embedded_aws.root / "settings.json",
            embedded_aws.root / "tls/server.key",
        ],
        folders=folders,
        port=int(aws.endpoint.url.rpartition(":")[2]),
        service=tmp_path / "service",
        report=REPORT,
    )
    request = job_request(
        aws,
        build_image(code),
        NetworkConfig={"EnableNetworkIsolation": True},
        ProcessingOutputConfig=s3_outputs(f"s3://{aws.bucket}/{prefix}", "own", "replaced"),
    )
    with listening(tmp_path / "service"):
        described = run(service, request)
    assert described["ProcessingJobStatus"] == "Completed", described
    # It reads and writes its own files, and nothing else.
    assert json.loads(logged(aws, described)[-1]) == ["its own files"]
    assert left_files(folders) == []
    assert aws.keys(prefix) == [f"{prefix}own/file"]
    assert described.get("ExitMessage", "") == ""
