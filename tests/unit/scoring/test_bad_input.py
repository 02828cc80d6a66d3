"""Unusual input: refused with a message, or scored if nothing is wrong with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost

from contract.catalog.model_fields import Feature
from contract.status import FailureKind
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder, parquet_bytes

FEATURES = (Feature("distance", "double"), Feature("hour", "int32"))


def first_column(matrix: Any) -> Any:
    return np.nan_to_num(matrix[:, 0])


def scored(job: JobFolder, *features: Feature, **fields: Any) -> dict[str, str]:
    """Return the kind and text of the failure by object, empty if it was scored."""
    done = score_in_process(job, {model_spec(*(features or FEATURES), **fields): FunctionModel(first_column)})
    return {item.key: "".join(f"{failure.kind}: {failure.text}" for failure in item.failures) for item in done}


GOOD = pa.Table.from_pandas(make_flights(20, 1), preserve_index=False)


@pytest.mark.parametrize(
    ("key", "content", "expected"),
    [
        ("cut.parquet", parquet_bytes(GOOD)[:-100], "object 'cut.parquet' cannot be read as Parquet"),
        ("text.parquet", b"a,b\n1,2\n", "object 'text.parquet' is not Parquet as its name says"),
        ("parquet.csv", parquet_bytes(GOOD), "object 'parquet.csv' is not CSV as its name says"),
        ("zip.parquet", b"PK\x03\x04" + bytes(100), "object 'zip.parquet' is not Parquet"),
        ("zeros.parquet", bytes(10_000), "'zeros.parquet'"),
    ],
)
def test_object_not_in_its_declared_format_is_explained(
    job: JobFolder, key: str, content: bytes, expected: str
) -> None:
    job.add_object(key, content)
    job.add_object("good.parquet", GOOD)
    found = scored(job)
    assert found["good.parquet"] == ""
    assert found[key].startswith(f"{FailureKind.DATA}: ")
    assert expected in found[key]
    assert "write it again" in found[key] or "rename it to match its format" in found[key]


def test_each_object_is_compared_with_the_record(job: JobFolder) -> None:
    """Columns may be added, dropped, moved or retyped between objects of one dataset."""
    names = GOOD.column_names
    job.add_object("as-is.parquet", GOOD)
    job.add_object("reordered.parquet", GOOD.select(names[::-1]))
    job.add_object("extra.parquet", GOOD.append_column("new", pa.array(["x"] * 20)))
    job.add_object("narrower.parquet", GOOD.set_column(names.index("hour"), "hour", GOOD["hour"].cast(pa.int8())))
    job.add_object("missing.parquet", GOOD.drop_columns(["distance"]))
    job.add_object("renamed.parquet", GOOD.rename_columns([name.replace("hour", "Hour") for name in names]))
    job.add_object("retyped.parquet", GOOD.set_column(names.index("hour"), "hour", GOOD["hour"].cast(pa.string())))

    found = scored(job)

    good = ("as-is.parquet", "reordered.parquet", "extra.parquet", "narrower.parquet")
    assert [found[key] for key in good] == [""] * 4
    for key in good:
        output = job.output("code", key)
        with pq.ParquetFile(job.objects_folder / key) as file:
            assert output.schema.names == [*file.schema_arrow.names, "prediction"]
            assert output.drop_columns(["prediction"]).equals(file.read())
        assert output["prediction"].to_pylist() == GOOD["distance"].to_pylist()
    assert "feature column 'distance' of type double is missing" in found["missing.parquet"]
    assert "'hour' of type int32 is missing (it has 'Hour': names are case-sensitive)" in found["renamed.parquet"]
    assert "'hour' is of type string, the record says int32" in found["retyped.parquet"]


@pytest.mark.parametrize("kind", [pa.null(), pa.float64()])
def test_all_null_column_is_scored_only_if_nullable(job: JobFolder, kind: pa.DataType) -> None:
    table = GOOD.set_column(GOOD.column_names.index("distance"), "distance", pa.nulls(20, kind))
    job.add_object("a.parquet", table)
    assert scored(job) == {"a.parquet": ""}
    assert job.output("code", "a.parquet")["prediction"].to_pylist() == [0.0] * 20
    strict = scored(job, Feature("distance", "double", nullable=False))["a.parquet"]
    assert "feature column 'distance' has 20 nulls, the record says that it has none (nullable: false)" in strict or (
        "has nothing but nulls" in strict
    )


def test_thousands_of_columns_pass_through(job: JobFolder) -> None:
    wide = pa.table({f"c{index}": pa.array([float(index), None]) for index in range(3_000)})
    job.add_object("wide.parquet", wide)
    models = {
        model_spec(Feature("c5", "double"), model_id="copies"): FunctionModel(first_column),
        model_spec(Feature("c5", "double"), model_id="lines", output_format="csv"): FunctionModel(first_column),
    }
    (done,) = score_in_process(job, models)
    assert done.failures == ()
    output = job.output("copies", "wide.parquet")
    assert output.num_columns == 3_001
    assert output["prediction"].to_pylist() == [5.0, 0.0]
    assert output.drop_columns(["prediction"]).equals(wide)
    header = (job.paths.predictions / job.commit("lines", "wide.parquet").outputs[0].key).read_text().split("\n")[0]
    assert header.count(",") == 3_000


def test_thousands_of_features_are_scored_in_small_batches(job: JobFolder) -> None:
    names = [f"c{index}" for index in range(3_000)]
    job.add_object("wide.parquet", pa.table({name: pa.array(np.full(600, 1.0)) for name in names}))
    sizes: list[int] = []

    def predict(matrix: Any) -> Any:
        sizes.append(len(matrix))
        return matrix.sum(axis=1)

    spec = model_spec(*(Feature(name, "double") for name in names), columns="keys", key_columns=("c0",))
    (done,) = score_in_process(job, {spec: FunctionModel(predict)})
    assert done.failures == ()
    assert sum(sizes) == 600
    assert max(sizes) <= 256
    assert job.output("code", "wide.parquet")["prediction"].to_pylist() == [3_000.0] * 600


def test_infinities_reach_the_model(job: JobFolder, tmp_path: Path, training: pd.DataFrame) -> None:
    """XGBoost scores them; scikit-learn refuses them row by row (see test_quarantine)."""
    data = xgboost.DMatrix(training[["distance"]], label=training["late"])
    booster = xgboost.train({"max_depth": 2, "nthread": 1}, data, num_boost_round=2)
    features = [Feature("distance", "double")]
    job.add_model("model", booster.save_model, file="model.json", declared="xgboost-json", features=features)
    frame = make_flights(10, 1)
    frame.loc[[2, 3], "distance"] = [np.inf, -np.inf]
    job.add_object("a.parquet", frame)
    job.write_spec()

    ended = job.run()

    if ended.returncode:
        assert "row 2 cannot be scored" in job.message
    else:
        assert job.commit("model", "a.parquet").rows_scored == 10


def test_damaged_page_fails_its_checksum_and_nothing_is_published(job: JobFolder) -> None:
    table = pa.table({"distance": np.arange(50_000.0), "hour": pa.array([1] * 50_000, pa.int32())})
    content = bytearray(parquet_bytes(table, use_dictionary=False, compression="none", write_page_checksum=True))
    content[len(content) // 2] ^= 0xFF
    job.add_object("damaged.parquet", bytes(content))
    (text,) = scored(job).values()
    assert text.startswith("DATA: object 'damaged.parquet' cannot be read as Parquet (")
    assert job.files() == {}
