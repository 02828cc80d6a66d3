"""`make demo`: train 19 models and score all flights of 2013 in an embedded AWS.

The demo takes the same steps as on AWS. It deploys the synthesized templates, sets the models'
recipes, and makes the carriers' models a fleet. It starts the training workflow with `{}`, which
promotes good models, and then the scoring workflow with `{}`.
"""

import os
import shutil
import sys
import tempfile
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from cli.command_line.output import Output
from cli.documents.recipe_document import RecipeDocument
from cli.failures import ExitStatus, describe
from cli.main import ended_by_signals
from cli.stage.catalog.catalog import Catalog, caller
from cli.stage.catalog.fleets import Fleets
from cli.stage.catalog.recipes import Recipes
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment, find_deployment
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.executions import Executions
from cli.views.executions.execution_figures import job_seconds, totals
from cli.views.executions.executions import execution_view, totals_line
from cli.views.executions.progress import progress_for, watch
from contract import layout
from embedded.cdk.assembly import AssemblyError
from embedded.cdk.deploy import DeployError, deploy
from embedded.cdk.node import NodeNotFoundError
from embedded.cdk.synth import SynthesisError, synthesize
from embedded.images.dockerfile import DockerfileError
from embedded.server.embedded_aws import EmbeddedAws
from embedded.server.launch import LOG_FILE, EmbeddedAwsError
from examples.flights.data import CARRIER, FLEET, FlightsDataError, objects_of, read_flights, write_datasets
from examples.flights.fleet import TrainedModel, TrainingSet, trained_model, write_training_data
from examples.flights.results import (
    PredictionsError,
    check_predictions,
    download,
    fleet_table,
    output_prefixes,
    read_predictions,
    sample_table,
)
from examples.logs import save_logs

PROJECT = Path(__file__).resolve().parent.parent
OUTPUT = PROJECT / "demo-output"
STAGE = "demo"

_SECONDS_BETWEEN_READS = 0.5
_UPLOADS = 8
_SHOWN_FLIGHTS = (0, 5, 151, 838, 200_000, 336_771)
"""Row numbers of the flights in the sample table. Two of them were cancelled and have no delays."""
_EXPLAINED = (
    AssemblyError,
    DeployError,
    DockerfileError,
    EmbeddedAwsError,
    FlightsDataError,
    NodeNotFoundError,
    PredictionsError,
    SynthesisError,
)
"""Errors whose message explains the failure, so that no traceback is printed."""


@dataclass(frozen=True)
class Prepared:
    """The flights, their objects below `folder`, and the training set of each model."""

    flights: pa.Table
    folder: Path
    training_sets: list[TrainingSet]


class Demo:
    """The steps of the demo, which print their progress."""

    def __init__(self, output: Output, folder: Path) -> None:
        self._output = output
        self._folder = folder
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        self._output.line(f"[{time.monotonic() - self._began:5.1f} s] {text}")

    def run(self) -> ExitStatus:
        """Run all steps; return SUCCEEDED only when every flight was scored by both of its models."""
        for name in ("predictions", "fleets", "logs"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fleetscore-demo-") as temporary, ThreadPoolExecutor(1) as aside:
            # Prepare the data while the CDK app is synthesized in another process.
            prepared = aside.submit(self._prepare, Path(temporary))
            with EmbeddedAws() as aws:
                self.say(f"The embedded AWS listens at {aws.endpoint.url}")
                use_environment(aws.endpoint.environment())
                connection = Connection()
                try:
                    return self._score(aws, connection, prepared, Path(temporary))
                finally:
                    self._keep_logs(aws, connection)

    def _prepare(self, temporary: Path) -> Prepared:
        flights = read_flights()
        counts = write_datasets(flights, temporary / "data")
        objects = sum(1 for _ in objects_of(temporary / "data"))
        self.say(f"{flights.num_rows:,} flights written as {len(counts)} datasets of {objects} Parquet objects")
        training_sets = write_training_data(flights, temporary / "data")
        self.say(f"Training data (January to September) and validation data written for {len(training_sets)} models")
        return Prepared(flights, temporary / "data", training_sets)

    def _score(
        self, aws: EmbeddedAws, connection: Connection, preparing: Future[Prepared], temporary: Path
    ) -> ExitStatus:
        context = {
            "fleetscore.stage": STAGE,
            "fleetscore.default_max_concurrency": max(2, os.cpu_count() or 2),
            "fleetscore.job_starts_per_second": 100,
        }
        assembly = synthesize(PROJECT / "app.py", temporary / "assembly", context, endpoint=aws.endpoint)
        self.say("CDK app synthesized")
        deploy(assembly, aws.endpoint, aws.images, lambda line: self.say(f"Deployed {line}"))
        deployment = find_deployment(connection, STAGE)
        prepared = preparing.result()
        self._upload(connection, deployment, prepared)
        executions = Executions(connection, deployment)
        trained = self._follow(executions, executions.start_training("{}"), "Training execution")
        if trained.exit_status is not ExitStatus.SUCCEEDED:
            return trained.exit_status
        snapshot = self._follow(executions, executions.start("{}"), "Execution")
        self._keep_summary(connection, deployment, snapshot.execution_id)
        if snapshot.exit_status is not ExitStatus.SUCCEEDED:
            return snapshot.exit_status
        catalog = Catalog(connection, deployment)
        versions = {version.spec.model_id: version for _, version in catalog.models() if version is not None}
        fleet = [
            trained_model(training_set, versions[training_set.recipe.model_id])
            for training_set in prepared.training_sets
        ]
        self._report(connection, deployment, prepared, fleet, snapshot)
        return ExitStatus.SUCCEEDED

    def _follow(self, executions: Executions, execution_id: str, word: str) -> Snapshot:
        """Watch an execution to its end, print details of a failure, and return its snapshot."""
        self.say(f"{word} {execution_id} started with the input {{}}")
        progress = progress_for(self._output.console)
        snapshot = watch(executions, execution_id, progress, seconds_between_reads=_SECONDS_BETWEEN_READS)
        self.say(f"{snapshot.status}: {totals_line(snapshot)}")
        if snapshot.exit_status is not ExitStatus.SUCCEEDED:
            self._output.data(None, *execution_view(snapshot, executions.attempts(execution_id)))
        return snapshot

    def _upload(self, connection: Connection, deployment: Deployment, prepared: Prepared) -> None:
        s3 = connection.client("s3")
        recipes, me = Recipes(connection, deployment), caller(connection)
        Fleets(connection, deployment).set(FLEET, {"dataset": FLEET, "route_by": CARRIER}, updated_by=me)
        with ThreadPoolExecutor(_UPLOADS) as pool:
            uploads = [
                pool.submit(s3.upload_file, str(path), deployment.datasets_bucket, key)
                for key, path in objects_of(prepared.folder)
            ]
            written = [
                pool.submit(recipes.set, RecipeDocument(training_set.recipe), updated_by=me)
                for training_set in prepared.training_sets
            ]
            for done in (*uploads, *written):
                done.result()
        self.say(f"{len(uploads)} objects uploaded, {len(written)} recipes set, fleet {FLEET!r} set by {CARRIER}")

    def _keep_summary(self, connection: Connection, deployment: Deployment, execution_id: str) -> None:
        key = layout.summary_key(execution_id)
        content = connection.client("s3").get_object(Bucket=deployment.results_bucket, Key=key)["Body"].read()
        (self._folder / "summary.json").write_bytes(content)

    def _report(
        self,
        connection: Connection,
        deployment: Deployment,
        prepared: Prepared,
        fleet: list[TrainedModel],
        snapshot: Snapshot,
    ) -> None:
        groups = [model.group for model in fleet]
        prefixes = output_prefixes(groups, snapshot.execution_id)
        files = download(connection.client("s3"), deployment.results_bucket, prefixes, self._folder)
        predictions = read_predictions(self._folder, groups, snapshot.execution_id)
        check_predictions(prepared.flights, predictions)
        total, expected = totals(snapshot), 2 * prepared.flights.num_rows
        if (total.rows_in, total.rows_scored) != (expected, expected):
            raise PredictionsError(
                f"The records say {total.rows_in:,} rows in and {total.rows_scored:,} scored, expected {expected:,}."
            )
        self.say(f"Checked: each of {prepared.flights.num_rows:,} flights was scored by both of its models")
        seconds = {job.job_id: job_seconds(job, snapshot.read_at) for job in snapshot.jobs}
        self._output.data(None, "", fleet_table(fleet, predictions, seconds))
        if any(model.training_set.uses_other_carriers for model in fleet):
            self._output.line("* too few flights: trained or validated on flights of all carriers")
        self._output.line("\nSome flights, and their probability of a late arrival by both models:")
        self._output.data(None, sample_table(prepared.flights, predictions, _SHOWN_FLIGHTS), "")
        shown = self._folder.relative_to(Path.cwd()) if self._folder.is_relative_to(Path.cwd()) else self._folder
        self._output.line(f"Summary:     {shown / 'summary.json'}")
        self._output.line(f"Predictions: {shown / 'fleets'} and {shown / 'predictions'} ({files} Parquet files)")
        self._output.line(f"Logs:        {shown / 'logs'}")

    def _keep_logs(self, aws: EmbeddedAws, connection: Connection) -> None:
        # Logs help to explain a failure, so an error while saving them must not hide it.
        with suppress(Exception):
            (self._folder / "logs").mkdir(parents=True, exist_ok=True)
            shutil.copy(aws.root / LOG_FILE, self._folder / "logs" / "embedded-aws.log")
            save_logs(connection, self._folder / "logs")


def use_environment(environment: dict[str, str]) -> None:
    """Point this process's AWS clients at the embedded AWS, whatever account the shell uses."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update({name: value for name, value in environment.items() if value})


def main() -> int:
    """Run the demo and return the exit status, 0 only when everything was scored."""
    output = Output()
    try:
        with ended_by_signals():
            return int(Demo(output, OUTPUT).run())
    except KeyboardInterrupt:
        output.notice("\nInterrupted. The embedded AWS has stopped.")
        return int(ExitStatus.INTERRUPTED)
    except Exception as error:
        known = describe(error)
        if known is None and not isinstance(error, _EXPLAINED):
            traceback.print_exc()
        output.notice(f"The demo failed: {known[0] if known else error}")
        if (OUTPUT / "logs").exists():
            output.notice(f"All logs are in {OUTPUT / 'logs'}.")
        return int(ExitStatus.FAILED)


if __name__ == "__main__":
    sys.exit(main())
