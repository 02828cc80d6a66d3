"""A bad row fails its job by default, and goes to quarantine when the request tolerates it."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.main import main
from contract import layout
from contract.status import ExecutionStatus, FailureKind
from tests.e2e.failing_models import RefusesOneRow
from tests.e2e.stage import Stage, people


def test_a_bad_row_fails_the_job_unless_the_request_tolerates_it(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = people(50, 1).to_pandas()
    frame.loc[7, "visits"] = RefusesOneRow.REFUSED_VISITS
    stage.put_dataset("picky", {"a.parquet": pa.Table.from_pandas(frame), "b.parquet": people(30, 2)})
    stage.register("picky", RefusesOneRow(), dataset="picky")

    refused = stage.run({"models": ["picky"]}, "picky-strict")

    assert refused.status == ExecutionStatus.FAILED
    (job,) = refused.jobs
    assert (job.failure_kind, job.attempt) == (FailureKind.MODEL, 1)
    assert "row 7 cannot be scored" in job.reason
    assert "ValueError at failing_models.py:" in job.reason
    assert "nobody visits so often" not in job.reason

    tolerated = stage.run({"models": ["picky"], "tolerated_quarantine_fraction": 0.02}, "picky-tolerant")

    assert (tolerated.status, tolerated.reason) == (ExecutionStatus.SUCCEEDED, "")
    (summary,) = stage.summary("picky-tolerant").jobs
    assert (summary.rows_in, summary.rows_scored, summary.rows_quarantined) == (80, 79, 1)
    bucket = stage.deployment.results_bucket
    prefix = layout.model_outputs_prefix("quarantine", "picky", "picky-tolerant", "picky", "picky")
    assert summary.quarantine_uris == (layout.s3_uri(bucket, prefix),)
    (key,) = stage.result_keys(prefix)
    body = stage.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    (row,) = pq.read_table(pa.BufferReader(body)).to_pylist()
    assert (row["object"], row["row"], row["model"]) == ("a.parquet", 7, "picky")
    assert row["reason"].endswith("): nobody visits so often")
    assert json.loads(row["raw"])["visits"] == RefusesOneRow.REFUSED_VISITS
    # People download these rows with the command, also those of an execution that failed.
    for execution_id, files in (("picky-tolerant", 1), ("picky-strict", 1)):
        folder = stage.folder / f"quarantine-of-{execution_id}"
        words = ["--execution", execution_id, "--quarantine", "--download", str(folder)]
        if stage.result_keys(layout.job_outputs_prefix("quarantine", "picky", execution_id, "picky")):
            assert main(["predictions", *words]) == 0
            assert len(pd.read_parquet(folder)) == files
            assert main(["predictions", *words]) == 2, "the folder is not empty"
        else:
            assert main(["predictions", *words]) == 2
            assert "has no such rows in quarantine" in capsys.readouterr().err
    outputs = stage.predictions("picky", "picky", "picky-tolerant")
    assert {name: table.num_rows for name, table in outputs.items()} == {"a.parquet": 49, "b.parquet": 30}
