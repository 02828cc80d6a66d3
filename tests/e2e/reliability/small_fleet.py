"""A small fleet whose predictions are known: three models over a few objects, in one of the output layouts."""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from onnx import TensorProto, helper

from cli.documents.model_document import ModelDocument
from cli.main import main
from contract.catalog.model_fields import Feature
from tests.e2e.stage import Stage, parquet

Layout = Literal["per_model", "joined", "fleet", "split"]
LAYOUTS: tuple[Layout, ...] = ("per_model", "joined", "fleet", "split")
MODELS = ("a", "b", "c")
ROUTES = {"a": ("gold", "platinum"), "b": ("silver",), "c": ("bronze",)}
SEGMENTS = ("gold", "platinum", "silver", "bronze", "unknown")
"""Values of the routing column. No model of the fleet has the route of the last one."""


def formula(weight: int) -> bytes:
    """Return an ONNX graph whose scores anybody can compute: `visits` times the weight, modulo 1,000, by 1,000.

    The weight 0 gives one that wants two features, and so cannot be used. A graph is loaded ten times as fast
    as a model of scikit-learn.
    """
    info, constant = helper.make_tensor_value_info, helper.make_tensor
    nodes = [
        helper.make_node("Mul", ["x", "weight"], ["product"]),
        helper.make_node("Mod", ["product", "thousand"], ["rest"], fmod=1),
        helper.make_node("Div", ["rest", "thousand"], ["score"]),
    ]
    constants = [
        constant("weight", TensorProto.DOUBLE, [], [float(weight)]),
        constant("thousand", TensorProto.DOUBLE, [], [1_000.0]),
    ]
    columns = 1 if weight else 2
    inputs = [info("x", TensorProto.DOUBLE, [None, columns])]
    outputs = [info("score", TensorProto.DOUBLE, [None, columns])]
    graph = helper.make_graph(nodes, "formula", inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    body: bytes = made.SerializeToString()
    return body


def scores(weight: int, table: pa.Table) -> dict[int, float]:
    """Return the score of each row that can be scored, by the row's number."""
    rows, visits = table["row"].to_pylist(), table["visits"].to_pylist()
    pairs = zip(rows, visits, strict=True)
    return {row: float(value) * weight % 1_000 / 1_000 for row, value in pairs if value is not None}


def content(rows: int, seed: int, first_row: int, *, refused: int = 0) -> pa.Table:
    """Return rows with unique numbers, of which the first `refused` have no score: a null where none may be."""
    random = np.random.default_rng(seed)
    visits = random.integers(0, 900_000, rows)
    return pa.table(
        {
            "row": pa.array(np.arange(first_row, first_row + rows)),
            "visits": pa.array(visits, mask=np.arange(rows) < refused),
            "segment": pa.array([SEGMENTS[index] for index in random.integers(0, len(SEGMENTS), rows)]),
        }
    )


@dataclass
class SmallFleet:
    """Models, their dataset, and everything that was ever in both.

    Args:
        stage: Deployed stage.
        name: Name of the dataset and of the fleet, and beginning of the models' ids. Use each once.
        layout: Layout of the outputs; "split" has one output per model, of a job that the plan
            splits into two parts.
    """

    stage: Stage
    name: str
    layout: Layout
    spot: bool = False
    """Whether its executions score on spot capacity."""
    contents: dict[tuple[str, str], pa.Table] = field(default_factory=dict)
    """Rows of each object that the dataset ever had, by key and ETag."""
    objects: dict[str, str] = field(default_factory=dict)
    """ETags of the objects that the dataset has, by key."""
    weights: dict[tuple[str, str], int] = field(default_factory=dict)
    """Weight of each model's versions; 0 for a version that scores nothing."""
    versions: dict[str, str] = field(default_factory=dict)
    """Current version by model."""
    disabled: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    """Keys of the objects that cannot be read."""
    rows_given: int = 0

    @classmethod
    def create(cls, stage: Stage, name: str, layout: Layout, *, objects: int = 4, spot: bool = False) -> "SmallFleet":
        """Put objects into a dataset, and register the models."""
        made = cls(stage, name, layout, spot)
        for number in range(objects):
            made.put(f"{number}.parquet", rows=2_000 if layout == "split" and number < 1 else 20 + number)
        if layout == "fleet":
            set_up = ["fleets", "set", name, "--dataset", name, "--route-by", "segment", "--unmatched", "skip"]
            assert main(set_up) == 0
        for number, letter in enumerate(MODELS, 1):
            made.register(letter, weight=number)
        return made

    @property
    def model_ids(self) -> tuple[str, ...]:
        return tuple(f"{self.name}-{letter}" for letter in MODELS)

    def request(self, **fields: Any) -> dict[str, Any]:
        """Return the input of an execution that scores everything."""
        tolerance = {"tolerated_quarantine_fraction": 0.5, **({"spot": True} if self.spot else {})}
        if self.layout == "fleet":
            return {"fleets": [self.name], **tolerance, **fields}
        joined = (
            {"output_layout": "joined"}
            if self.layout == "joined"
            else {"models_per_job": 3 if self.layout == "split" else 2}
        )
        enabled = [model_id for model_id in self.model_ids if model_id not in self.disabled]
        return {"models": enabled, **joined, **tolerance, **fields}

    def request_json(self, **fields: Any) -> str:
        return json.dumps(self.request(**fields))

    def put(self, key: str, *, rows: int = 20, refused: int = 0) -> None:
        """Put a new object into the dataset, or replace one, with rows that no object had before."""
        table = content(rows, self.rows_given, self.rows_given, refused=refused)
        self.rows_given += rows
        self.stage.put_dataset(self.name, {key: table})
        self._note(key, parquet(table), table)

    def corrupt(self, key: str) -> None:
        """Replace an object by bytes that cannot be read to the end: the middle of its data is zero."""
        self.rows_given += 1
        body = bytearray(parquet(content(40, self.rows_given, self.rows_given)))
        body[4:200] = bytes(196)
        self.stage.put_dataset(self.name, {key: bytes(body)})
        self._note(key, bytes(body), None)

    def _note(self, key: str, body: bytes, table: pa.Table | None) -> None:
        head = self.stage.client("s3").head_object(
            Bucket=self.stage.deployment.datasets_bucket, Key=f"{self.name}/{key}"
        )
        etag = head["ETag"].strip('"')
        self.objects[key] = etag
        if table is None:
            self.unreadable.add(key)
        else:
            self.unreadable.discard(key)
            self.contents[(key, etag)] = table

    def delete(self, key: str) -> None:
        self.stage.client("s3").delete_object(Bucket=self.stage.deployment.datasets_bucket, Key=f"{self.name}/{key}")
        self.objects.pop(key, None)
        self.unreadable.discard(key)

    def register(self, letter: str, *, weight: int) -> None:
        """Register another version of a model. The weight 0 makes one that scores nothing."""
        model_id = f"{self.name}-{letter}"
        version = str(int(self.versions.get(model_id, "0")) + 1)
        placed: Mapping[str, Any] = {"fleet": self.name, "route": ROUTES[letter]} if self.layout == "fleet" else {}
        if self.layout == "split":
            placed = {"instance_count": 2}
        path = self.stage.folder / f"{model_id}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            body = formula(weight)
            member = tarfile.TarInfo("model.onnx")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
        document = ModelDocument(
            model_id=model_id,
            artifact=str(path),
            dataset=self.name,
            version=version,
            format="onnx",
            model_file="model.onnx",
            method="predict",
            features=(Feature("visits", "double", nullable=False),),
            key_columns=("row",),
            **placed,
        )
        self.stage.catalog.register(document)
        self.versions[model_id] = version
        self.weights[(model_id, version)] = weight

    def set_enabled(self, letter: str, *, enabled: bool) -> None:
        model_id = f"{self.name}-{letter}"
        self.stage.catalog.set_enabled(model_id, enabled=enabled)
        (self.disabled.discard if enabled else self.disabled.add)(model_id)

    def close(self) -> None:
        """Keep the models out of the executions of other tests."""
        for letter in MODELS:
            self.set_enabled(letter, enabled=False)
        if self.layout == "fleet":
            assert main(["fleets", "delete", self.name]) == 0
