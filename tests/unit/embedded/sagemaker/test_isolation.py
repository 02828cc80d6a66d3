"""What a job with network isolation gets from the machine and from the embedded AWS that runs it."""

import json
from pathlib import Path

import pytest

from cli.sandbox.isolation import probe
from embedded.server.embedded_aws import EmbeddedAws
from tests.unit.attacks import attacks
from tests.unit.embedded.sagemaker.account import PRELUDE, account_of, job_request, logged, run_remotely, s3_outputs

ROOT = Path(__file__).parents[4]
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/attack:1"
OWN_FILE, OWN_FOLDER = "/opt/ml/config/processingjobconfig.json", "/opt/ml/processing/output/own"

REPORT = """
(OUTPUT / "own/link").symlink_to(target["secret_files"][0])
(OUTPUT / "replaced").rmdir()
(OUTPUT / "replaced").symlink_to(os.path.dirname(target["secret_files"][0]))
(ML / "output/message").symlink_to(target["secret_files"][0])
print(json.dumps(got))
"""
"""Leaves links to files of the machine where the service reads files of the job."""


@pytest.mark.skipif(not probe().has_namespaces, reason=f"this machine has no namespaces: {probe().reason}")
def test_a_job_gets_nothing_of_the_machine_or_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, root, context = tmp_path / "home", tmp_path / "aws", tmp_path / "context"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws/credentials").write_text("[default]\n")
    monkeypatch.setenv("HOME", str(home))
    with EmbeddedAws(root) as server:
        code = attacks(
            secret=server.endpoint.secret_access_key,
            secret_files=[home / ".aws/credentials", root / "settings.json", root / "tls/server.key", Path(OWN_FILE)],
            folders=[home, ROOT, Path(OWN_FOLDER)],
            port=int(server.endpoint.url.rpartition(":")[2]),
            own_folder=OWN_FOLDER,
            report=REPORT,
        )
        context.mkdir()
        (context / "main.py").write_text(PRELUDE + code)
        (context / "Dockerfile").write_text('FROM python\nCOPY main.py /app/\nENTRYPOINT ["python", "/app/main.py"]')
        server.images.register(IMAGE, context)
        aws = account_of(server.endpoint)
        described = run_remotely(
            aws,
            job_request(
                aws,
                IMAGE,
                NetworkConfig={"EnableNetworkIsolation": True},
                ProcessingOutputConfig=s3_outputs(f"s3://{aws.bucket}/", "own", "replaced"),
            ),
        )
        assert described["ProcessingJobStatus"] == "Completed", described
        # It reads and writes its own files, and nothing else.
        assert json.loads(logged(aws, described)[-1]) == [OWN_FILE, OWN_FOLDER]
        assert aws.keys() == ["own/left-by-an-attack"]
        assert described.get("ExitMessage", "") == ""
