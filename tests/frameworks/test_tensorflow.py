"""TensorFlow and Keras models predict as their library; unsafe files are refused."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

# Before Keras, because it sets the backend and the threads, as in a job.
import scoring.models.tensors.tensorflow_library  # noqa: F401

import keras  # isort: skip
import tensorflow as tf

from contract.catalog.model_fields import Feature
from scoring.errors import ConfigurationError, ModelError
from scoring.models import load_model
from tests.frameworks.records import NAMES, ROWS, batch_of, column, matrix, numbers, predicted, spec_of

FILES = {"keras": "model.keras", "tensorflow-savedmodel": "model/1/saved_model.pb"}
CARRIERS = ["UA", "AA", "DL"]


def network(targets: int = 1) -> keras.Model:
    """Return a trained model with layers that behave differently in training."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(targets, activation=None if targets == 1 else "softmax"),
        ]
    )
    rows = matrix(numbers())
    model.compile(loss="mse", optimizer="adam")
    model.fit(rows, np.tile(rows.sum(1, keepdims=True), (1, targets)), epochs=2, verbose=0)
    return model


def named(*, as_list: bool = False) -> keras.Model:
    """Return a model with one input per feature, including text."""
    keras.utils.set_random_seed(2)
    inputs = [keras.Input((1,), name="distance"), keras.Input((1,), name="carrier", dtype="string")]
    lookup = keras.layers.StringLookup(vocabulary=CARRIERS, output_mode="one_hot")
    joined = keras.layers.Concatenate()([inputs[0], lookup(inputs[1])])
    score = keras.layers.Dense(1)(joined)
    return keras.Model(inputs if as_list else {item.name: item for item in inputs}, score)


def save(declared: str, model: Any, folder: Path) -> Path:
    path = folder / FILES[declared]
    path.parent.mkdir(parents=True, exist_ok=True)
    if declared == "keras":
        model.save(path)
    else:
        model.export(path.parent, verbose=False)
    return path


@pytest.mark.parametrize("declared", FILES)
@pytest.mark.parametrize("targets", [1, 3])
def test_predictions_equal_those_of_the_model(declared: str, targets: int, tmp_path: Path) -> None:
    network_ = network(targets)
    spec = spec_of(declared, FILES[declared])
    rows = numbers()

    model = load_model(spec, save(declared, network_, tmp_path))
    found = predicted(spec, model, batch_of(rows))

    expected = network_.predict(matrix(rows), batch_size=ROWS, verbose=0)
    names = ["prediction"] if targets == 1 else ["prediction_0", "prediction_1", "prediction_2"]
    assert [field.name for field in model.outputs] == names
    assert {field.type for field in model.outputs} == {pa.float64()}
    for position, name in enumerate(names):
        # Another graph of the same layers may round the last digit differently.
        np.testing.assert_allclose(found[name], expected[:, position], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("declared", FILES)
@pytest.mark.parametrize("as_list", [False, True])
def test_models_with_one_input_per_feature_get_them_by_name(declared: str, as_list: bool, tmp_path: Path) -> None:
    model = named(as_list=as_list)
    features = (Feature("carrier", "string"), Feature("distance", "double"))
    spec = spec_of(declared, FILES[declared], features=features)
    carriers, distances = ["UA", "DL", "unknown", "AA"], [1.0, 2.0, 3.0, 4.0]

    loaded = load_model(spec, save(declared, model, tmp_path))
    found = predicted(spec, loaded, batch_of({"carrier": carriers, "distance": distances}))

    given = {
        "distance": tf.constant(distances, tf.float32)[:, None],
        "carrier": tf.constant(carriers)[:, None],
    }
    expected = model([given["distance"], given["carrier"]] if as_list else given)
    assert found == {"prediction": column(expected)}


def test_nulls_in_text_are_refused_and_in_numbers_become_nan(tmp_path: Path) -> None:
    features = (Feature("carrier", "string"), Feature("distance", "double"))
    spec = spec_of("keras", FILES["keras"], features=features)
    loaded = load_model(spec, save("keras", named(), tmp_path))
    with pytest.raises(ModelError, match="1 nulls in feature 'carrier', and the model takes text"):
        loaded.predict(batch_of({"carrier": ["UA", None], "distance": [1.0, 2.0]}))
    assert np.isnan(
        np.asarray(loaded.predict(batch_of({"carrier": ["UA"], "distance": pa.array([None], pa.float64())})))
    )


class Served(tf.Module):
    """A module without Keras, with double precision, whole numbers and several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(2.0, dtype=tf.float64)

    @tf.function(
        input_signature=[tf.TensorSpec((None,), tf.float64, "distance"), tf.TensorSpec((None,), tf.int64, "hour")]
    )
    def score(self, distance, hour):  # type: ignore[no-untyped-def]
        return {"late": distance * self.weight, "next": hour + 1}


def test_each_output_of_a_saved_model_becomes_a_column(tmp_path: Path) -> None:
    module = Served()
    tf.saved_model.save(module, tmp_path, signatures=module.score)
    features = (Feature("hour", "int64"), Feature("distance", "double"))
    spec = spec_of("tensorflow-savedmodel", "saved_model.pb", features=features)
    loaded = load_model(spec, tmp_path / "saved_model.pb")
    found = predicted(spec, loaded, batch_of({"hour": [1, 2], "distance": [0.1, 0.2]}))
    assert found == {"prediction_late": [0.2, 0.4], "prediction_next": [2.0, 3.0]}
    with pytest.raises(ModelError, match="nulls in feature 'hour', and the model takes int64"):
        loaded.predict(batch_of({"hour": pa.array([None], pa.int64()), "distance": [0.1]}))


def test_ambiguous_signatures_are_refused_by_name(tmp_path: Path) -> None:
    module = Served()
    tf.saved_model.save(module, tmp_path, signatures={"a": module.score, "b": module.score})
    with pytest.raises(ModelError, match=r"has the signatures \['a', 'b'\], expected 'serving_default'"):
        load_model(spec_of("tensorflow-savedmodel", "saved_model.pb"), tmp_path / "saved_model.pb")


def test_model_file_must_be_the_saved_models_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected the path of saved_model\.pb in the archive.*'1/saved_model\.pb'"):
        load_model(spec_of("tensorflow-savedmodel", "model.pb"), tmp_path / "model.pb")


@pytest.mark.parametrize("declared", FILES)
def test_a_wrong_number_of_features_is_refused(declared: str, tmp_path: Path) -> None:
    path = save(declared, network(), tmp_path)
    features = tuple(Feature(name, "double") for name in (*NAMES, "more"))
    with pytest.raises(ModelError, match=r"takes .*float32\[any, 3\], its record has 4 features"):
        load_model(spec_of(declared, FILES[declared], features=features), path)


def test_text_for_numeric_inputs_is_refused(tmp_path: Path) -> None:
    path = save("keras", named(), tmp_path)
    features = (Feature("carrier", "int64"), Feature("distance", "double"))
    with pytest.raises(ModelError, match=r"its input is carrier: text.*declares 'carrier' as int64"):
        load_model(spec_of("keras", FILES["keras"], features=features), path)


def test_a_lambda_layer_is_refused_with_a_remedy(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda rows: rows * 2)])
    path = save("keras", model, tmp_path)
    with pytest.raises(ModelError, match=r"Lambda layer or other Python code.*model\.export.*tensorflow-savedmodel"):
        load_model(spec_of("keras", FILES["keras"]), path)


class Doubled(keras.layers.Layer):
    def call(self, rows: Any) -> Any:
        return rows * 2


def test_a_custom_layer_scores_as_saved_model_but_not_as_keras(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), Doubled(name="doubled"), keras.layers.Dense(1)])
    path = save("keras", model, tmp_path)
    with pytest.raises(ModelError, match=r"has custom layers or functions .*'Doubled'.*tensorflow-savedmodel"):
        load_model(spec_of("keras", FILES["keras"]), path)
    spec = spec_of("tensorflow-savedmodel", FILES["tensorflow-savedmodel"])
    rows = numbers()
    found = predicted(spec, load_model(spec, save("tensorflow-savedmodel", model, tmp_path)), batch_of(rows))
    np.testing.assert_allclose(found["prediction"], column(model(matrix(rows))), rtol=1e-6, atol=1e-7)


def test_a_keras_file_may_have_another_suffix(tmp_path: Path) -> None:
    save("keras", network(), tmp_path).rename(tmp_path / "model")
    assert load_model(spec_of("keras", "model"), tmp_path / "model").outputs[0].name == "prediction"


@pytest.mark.parametrize("declared", FILES)
def test_a_file_that_is_not_a_model_is_refused(declared: str, tmp_path: Path) -> None:
    path = tmp_path / Path(FILES[declared]).name
    path.write_bytes(b"no model at all")
    with pytest.raises(ModelError, match=f"cannot be loaded as {declared} .*says tensorflow 2.0"):
        load_model(spec_of(declared, path.name, framework_version="2.0"), path)


class Centred(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, "rows")])
    def score(self, rows):  # type: ignore[no-untyped-def]
        return {"score": rows - tf.reduce_mean(rows, 0)}


def test_a_model_whose_rows_affect_each_other_is_refused(tmp_path: Path) -> None:
    module = Centred()
    tf.saved_model.save(module, tmp_path, signatures=module.score)
    with pytest.raises(ModelError, match="for a row depends on other rows of the batch"):
        load_model(spec_of("tensorflow-savedmodel", "saved_model.pb"), tmp_path / "saved_model.pb")


def test_output_columns_of_a_wrong_number_are_refused(tmp_path: Path) -> None:
    path = save("keras", network(3), tmp_path)
    with pytest.raises(ConfigurationError, match=r"names 2 columns .* gives 3"):
        load_model(spec_of("keras", FILES["keras"], output_columns=("a", "b")), path)


@pytest.mark.parametrize("declared", FILES)
def test_concurrent_threads_get_equal_predictions(declared: str, tmp_path: Path) -> None:
    spec = spec_of(declared, FILES[declared])
    model = load_model(spec, save(declared, network(3), tmp_path))
    batch = batch_of(numbers())
    alone = np.asarray(model.predict(batch))
    assert model.concurrent
    results: list[Any] = []
    workers = [
        threading.Thread(target=lambda: results.extend(np.asarray(model.predict(batch)) for _ in range(20)))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 40
    assert all(np.array_equal(result, alone) for result in results)


def test_a_call_uses_only_the_calling_thread() -> None:
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert tf.config.threading.get_inter_op_parallelism_threads() == -1
