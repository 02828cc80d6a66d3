"""Objects with unusual keys are scored under their keys, and files that are not data are ignored."""

from contract.status import ExecutionStatus
from tests.e2e.stage import Stage, people, train_xgboost

DATA = (
    "with space.parquet",
    "Zürich/コード.parquet",
    "k=v/a+b%20c&d.parquet",
    "p%2Fq.parquet",
    "quote'\".parquet",
    "tab\tkey.parquet",
    "dots../a...parquet",
    " blank .parquet",
    f"deep/er/{'n' * 227}.parquet",
)
NO_DATA = ("folder/", "_SUCCESS", "_temporary/0/task/a.parquet", "x/.staging/a.parquet")


def test_every_data_object_is_scored_once_under_its_own_key(stage: Stage) -> None:
    stage.put_dataset("keys", {key: people(4, number) for number, key in enumerate(DATA)})
    stage.put_dataset("keys", {key: b"" if key.endswith(("/", "_SUCCESS")) else people(9, 1) for key in NO_DATA})
    stage.put_dataset("keys2", {"of-a-neighbour.parquet": people(9, 1)})
    stage.register("on-keys", train_xgboost(1), dataset="keys")
    snapshot = stage.run({"models": ["on-keys"]}, "odd-keys")
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    outputs = stage.predictions("keys", "on-keys", "odd-keys")
    assert {key: table.num_rows for key, table in outputs.items()} == dict.fromkeys(DATA, 4)
    assert stage.summary("odd-keys").rows_scored == 4 * len(DATA)


def test_keys_that_cannot_be_scored_are_refused_by_name(stage: Stage) -> None:
    longest = f"{'d' * 200}/" * 4 + "x" * 190 + ".parquet"
    refused = {
        "line\nbreak.parquet": "got 'line\\nbreak.parquet', expected a path without control characters",
        "red\x1b[31m.parquet": "got 'red\\x1b[31m.parquet', expected a path without control characters",
        "a//b.parquet": "for example: `aws s3 mv --recursive s3://{bucket}/odd-keys/a// s3://{bucket}/odd-keys/a/`",
        longest: "so that its predictions' key fits into 1,024 bytes",
    }
    assert len(f"odd-keys/{longest}") <= 1_024
    stage.put_dataset("odd-keys", {key: people(4, 1) for key in ("good.parquet", *refused)})
    stage.register("on-odd-keys", train_xgboost(1), dataset="odd-keys")
    snapshot = stage.run({"models": ["on-odd-keys"]}, "refused-keys")
    assert (snapshot.status, snapshot.jobs) == (ExecutionStatus.FAILED, ())
    assert "refused with 4 problems" in snapshot.reason
    for problem in refused.values():
        assert problem.format(bucket=stage.deployment.datasets_bucket) in snapshot.reason
