"""The code blocks about AWS clients, taken from the documentation, work as it says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.clients.warm_aws_cli import WarmAwsCli
from tests.e2e.stage import Stage, people, train_xgboost, wait_for

ROOT = Path(__file__).parents[3]
CLIENTS = "docs/reference/embedded-aws-clients.md"
MODEL = "documented"
ROWS = 40
NAMES = {"customers": MODEL, "churn": MODEL}
"""Replacements of the documented names, which other tests use for their models and datasets."""
CLIENT_PROGRAMS = Path(sys.prefix) / "clients" / "bin"
"""Client programs whose package versions differ from the tests' (`requirements-clients.txt`)."""
REMEMBER_RESOURCES = """
fleetscore() { [ -s "resource-$2" ] || command fleetscore "$@" > "resource-$2"; cat "resource-$2"; }
"""
"""Caches `fleetscore resources NAME` for all scripts: a call takes a second of CPU time."""
INSTALL_HTTPFS = """
import pathlib, duckdb, duckdb_extension_httpfs
[extension] = pathlib.Path(duckdb_extension_httpfs.__file__).parent.rglob("httpfs.duckdb_extension")
duckdb.sql(f"INSTALL '{extension}'")
"""
"""Replaces the download of `INSTALL httpfs` with the file of a package."""


def blocks(page: str, language: str = "") -> list[str]:
    """Return the code blocks of a language in a page."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(body) for _indent, name, body in found if name == language]


def block(page: str, contains: str, names: Mapping[str, str] | None = None, language: str = "") -> str:
    """Return the only block that contains a text, with the names of this stage."""
    [found] = [body for body in blocks(page, language) if contains in body]
    for name, here in (names or {}).items():
        assert name in found, f"{page} no longer shows {name}"
        found = found.replace(name, here)
    return found


@dataclass(frozen=True)
class Shell:
    """A shell with the exports of `fleetscore up`, and an AWS CLI."""

    stage: Stage
    aws_cli: Path
    """Folder with the program `aws`."""

    def __call__(self, script: str, **variables: str) -> str:
        """Run a script, and return what it printed."""
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        exports = self.stage.aws.endpoint.shell_environment()
        own, _, others = exports["PATH"].partition(os.pathsep)
        path = os.pathsep.join([own, str(self.aws_cli), str(Path(sys.executable).parent), others])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", REMEMBER_RESOURCES + script],
            env={**kept, **exports, "PATH": path, "AWS_DEFAULT_OUTPUT": "json", **variables},
            cwd=self.stage.folder, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def shell(stage: Stage) -> Iterator[Shell]:
    """Yield a shell with a fast AWS CLI and a cached `fleetscore resources`."""
    for name in ("datasets_bucket", "models_bucket", "state_machine_arn", "training_state_machine_arn"):
        (stage.folder / f"resource-{name}").write_text(getattr(stage.deployment, name), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, WarmAwsCli(CLIENT_PROGRAMS / "python", Path(folder)) as aws_cli:
        yield Shell(stage, aws_cli.folder)


@pytest.fixture(params=["1", "2"])
def any_aws_cli(request: pytest.FixtureRequest, shell: Shell) -> Shell:
    """Return a shell with the tests' AWS CLI, or with version 2, which is not on PyPI."""
    if request.param == "1":
        return shell
    program = os.environ.get("AWS_CLI_V2") or shutil.which("aws")
    version = (
        subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout if program else ""
    )
    if program is None or not version.startswith("aws-cli/2."):
        pytest.skip("there is no AWS CLI version 2: put one on the PATH, or name its program in AWS_CLI_V2")
    return Shell(shell.stage, Path(program).absolute().parent)


@pytest.fixture(scope="module")
def execution_id(stage: Stage, shell: Shell) -> Iterator[str]:
    """Score with the model `documented`, started by the AWS CLI; yield the execution's id."""
    table = people(ROWS, 1)
    stage.put_dataset(MODEL, {"a.parquet": table.slice(0, ROWS // 2), "b.parquet": table.slice(ROWS // 2)})
    stage.register(MODEL, train_xgboost(1), dataset=MODEL)
    start = f"aws stepfunctions start-execution --state-machine-arn {stage.deployment.state_machine_arn}"
    started = Shell(stage, CLIENT_PROGRAMS)(f"""{start} --name nightly-1 --input '{{"models": ["{MODEL}"]}}'""")
    assert json.loads(started)["executionArn"].endswith(":nightly-1")
    assert stage.watch("nightly-1").status == "SUCCEEDED"
    yield "nightly-1"
    stage.catalog.set_enabled(MODEL, enabled=False)


@pytest.fixture(scope="module")
def results(stage: Stage) -> dict[str, str]:
    return {"RESULTS": f"s3://{stage.deployment.results_bucket}"}


def test_every_block_of_the_clients_page_has_a_test() -> None:
    assert (len(blocks(CLIENTS)), len(blocks(CLIENTS, "python"))) == (1, 5)


def test_the_aws_cli_reaches_every_service(any_aws_cli: Shell, execution_id: str) -> None:
    printed = any_aws_cli(block(CLIENTS, "list-queues", {"churn": MODEL}))
    assert f"execution_id={execution_id}/job_id={MODEL}/model_id={MODEL}/a.parquet" in printed
    assert "fleetscore-dev-triggers-UploadsDeadLetters" in printed
    assert printed.count("object_scored") == 2
    assert '"MetricName": "RowsScored"' in printed


def test_python_clients_read_predictions(shell: Shell, execution_id: str, results: dict[str, str]) -> None:
    """All blocks run in one process, because the imports take most of the time."""
    names = {"dataset=customers": f"dataset={MODEL}"}
    bucket = f"{results['RESULTS']}/predictions/dataset={MODEL}/"
    layout = block(
        "docs/reference/s3-layout.md", "import pyarrow as pa", {"s3://…/predictions/": bucket, "churn": MODEL}, "python"
    )
    scripts = [
        block(CLIENTS, "boto3.client", language="python"),
        block(CLIENTS, "pandas.read_parquet", names, "python"),
        block(CLIENTS, "polars.scan_parquet", names, "python"),
        block(CLIENTS, "s3fs.S3FileSystem", language="python"),
        layout.replace("table.to_table(", "rows = table.to_table("),
        "print('rows by the layout:', rows.num_rows)",
    ]
    printed = shell(f"{shlex.quote(sys.executable)} -c {shlex.quote(chr(10).join(scripts))}", **results)
    lines = printed.splitlines()
    assert {"fleetscore-dev", "fleetscore-dev-training", str(ROWS), f"rows by the layout: {ROWS}"} <= set(lines)
    assert f"[{ROWS} rows x" in printed
    assert f"shape: ({ROWS}, " in printed
    assert "type=Directory" in printed.replace("FileType.", "")
    assert f"/predictions/dataset={MODEL}'" in printed


def test_duckdb_reads_predictions(shell: Shell, execution_id: str, results: dict[str, str], tmp_path: Path) -> None:
    script = INSTALL_HTTPFS + block(CLIENTS, "LOAD httpfs", {"dataset=customers": f"dataset={MODEL}"}, "python")
    python = shlex.quote(str(CLIENT_PROGRAMS / "python"))
    assert str(ROWS) in shell(f"{python} -c {shlex.quote(script)}", **results, HOME=str(tmp_path))


def test_the_first_look_at_a_failure(shell: Shell, execution_id: str) -> None:
    names = {"nightly-2026-03-01": execution_id, " churn": f" {MODEL}"}
    shown = block("docs/operate/failures.md", "fleetscore list --since", names)
    container = block("docs/reference/containers/scoring-container.md", "workers_not_separated")
    printed = shell("\n".join(["unset -f fleetscore", shown, container]))
    assert re.search(rf"{execution_id}\b.*SUCCEEDED", printed)
    assert f"Nothing is wrong: {execution_id} SUCCEEDED." in printed
    assert printed.count(" object_scored object=") == 2
    assert " shard_ended objects=2 failed=0 " in printed


def test_metrics_of_an_execution_and_an_alarm_on_failed_ones(stage: Stage, shell: Shell, execution_id: str) -> None:
    page = "docs/reference/records-and-metrics.md"
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**allow, "Resource": "*"}]})
    queue = stage.client("sqs").create_queue(QueueName="failures", Attributes={"Policy": policy})["QueueUrl"]
    attributes = stage.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    alarm = block(
        page,
        "put-metric-alarm",
        {"--protocol email": "--protocol sqs", "you@example.com": attributes["QueueArn"]},
    )
    statistics = block(page, "get-metric-statistics")
    printed = shell(f"{statistics}\n{alarm}")
    points = json.loads(printed[: printed.index("\n}") + 2])["Datapoints"]
    assert sum(point["Sum"] for point in points) >= ROWS
    cloudwatch = stage.client("cloudwatch")
    [name] = re.findall(r"--alarm-name (\S+)", alarm)
    stage.start_unchecked('{"models": ["none"]}', "fails")
    wait_for(
        lambda: cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"] == "ALARM",
        "the alarm goes off",
    )
    message = wait_for(lambda: stage.client("sqs").receive_message(QueueUrl=queue).get("Messages"), "a notification")
    notified = json.loads(json.loads(message[0]["Body"])["Message"])
    assert (notified["AlarmName"], notified["NewStateValue"]) == (name, "ALARM")
    cloudwatch.delete_alarms(AlarmNames=[name])


def test_dead_letters_set_off_the_stage_s_alarm_and_can_be_sent_back(stage: Stage, shell: Shell) -> None:
    page = "docs/operate/dead-letters.md"
    sqs, cloudwatch = stage.client("sqs"), stage.client("cloudwatch")
    prefix = "fleetscore-dev-triggers-UploadsDeadLetters"
    [queue] = sqs.list_queues(QueueNamePrefix=prefix)["QueueUrls"]
    [alarm] = [
        found["AlarmName"]
        for found in cloudwatch.describe_alarms()["MetricAlarms"]
        if found["Dimensions"] == [{"Name": "QueueName", "Value": queue.rpartition("/")[2]}]
    ]

    def state() -> str:
        return str(cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]["StateValue"])

    wait_for(lambda: state() == "OK", "the alarm is evaluated")
    sqs.send_message(QueueUrl=queue, MessageBody="unreadable")
    wait_for(lambda: state() == "ALARM", "the alarm goes off")
    printed = shell(block(page, "receive-message") + block(page, "start-message-move-task"))
    assert '"Body": "unreadable"' in printed
    assert '"TaskHandle"' in printed
    # It was sent to this queue by hand, so there is no queue to move it back to.
    assert '"FailureReason": "CouldNotDetermineMessageSource"' in printed
    sqs.purge_queue(QueueUrl=queue)


def test_the_lines_about_objects_and_rules(stage: Stage, shell: Shell, execution_id: str) -> None:
    s3, datasets, models = stage.client("s3"), stage.deployment.datasets_bucket, stage.deployment.models_bucket
    s3.put_object(Bucket=datasets, Key="flights/2013.parquet", Body=b"archived", StorageClass="GLACIER")
    s3.put_object(Bucket=datasets, Key="flights/deep/a b.parquet", Body=b"archived", StorageClass="DEEP_ARCHIVE")
    s3.put_object(Bucket=datasets, Key="flights/2014.parquet", Body=b"readable")
    (stage.folder / "day").mkdir()
    (stage.folder / "day" / "a.csv").write_text("row\n1\n")
    [artifact] = [entry["Key"] for entry in s3.list_objects_v2(Bucket=models, Prefix=f"{MODEL}/")["Contents"]]
    [version] = s3.list_object_versions(Bucket=models, Prefix=artifact)["Versions"]
    here = {"churn/3/model.tar.gz": artifact, "versionId=VERSION": f"versionId={version['VersionId']}"}
    printed = shell(
        block("docs/operate/uploads.md", "_READY && aws s3 cp")
        + block("docs/operate/failures.md", "restore-object")
        + block("docs/operate/failures.md", "--query Restore")
        + block("docs/operate/failures.md", "list-object-versions", here)
        + block("docs/operate/events.md", "put-rule", {"123456789012": stage.aws.endpoint.account_id}),
    )
    uploaded = s3.list_objects_v2(Bucket=datasets, Prefix="flights/2026-11-29/")["Contents"]
    assert [entry["Key"] for entry in uploaded] == ["flights/2026-11-29/_READY", "flights/2026-11-29/a.csv"]
    assert "ongoing-request" in printed
    assert "ongoing-request" in s3.head_object(Bucket=datasets, Key="flights/deep/a b.parquet")["Restore"]
    assert version["VersionId"] in printed
    assert len(s3.list_object_versions(Bucket=models, Prefix=artifact)["Versions"]) == 2
    assert ":rule/fleetscore-dev/scored" in printed
    stage.client("events").delete_rule(Name="scored", EventBusName="fleetscore-dev")
