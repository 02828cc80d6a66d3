"""PyTorch models predict as PyTorch; models that would silently score wrongly are refused."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from contract.catalog.model_fields import Feature
from scoring.errors import ConfigurationError, ModelError
from scoring.models import load_model
from tests.frameworks.records import NAMES, ROWS, batch_of, column, matrix, numbers, predicted, spec_of

FORMATS = {"pytorch-export": "model.pt2", "torchscript": "model.pt"}


def train(module: nn.Module, targets: int) -> nn.Module:
    """Train a module for a few steps, and set it to inference mode."""
    torch.manual_seed(1)
    rows = torch.from_numpy(matrix(numbers()))
    wanted = torch.stack([rows.sum(1) * (number + 1) for number in range(targets)], 1)
    optimizer = torch.optim.Adam(module.parameters(), 0.05)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.mse_loss(module(rows).reshape(ROWS, targets), wanted).backward()
        optimizer.step()
    return module.eval()


def network(targets: int = 1) -> nn.Module:
    layers = [nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, targets)]
    return train(nn.Sequential(*layers), targets)


def save(declared: str, module: nn.Module, folder: Path, *examples: torch.Tensor, rows: Any = None) -> Path:
    path = folder / FORMATS[declared]
    if declared == "torchscript":
        torch.jit.script(module).save(str(path))
        return path
    given = examples or (torch.zeros(2, 3),)
    size = torch.export.Dim("rows") if rows is None else rows
    exported = torch.export.export(module, given, dynamic_shapes=tuple({0: size} for _ in given))
    torch.export.save(exported, path)
    return path


@pytest.mark.parametrize("declared", FORMATS)
@pytest.mark.parametrize("targets", [1, 3])
def test_predictions_equal_those_of_the_module(declared: str, targets: int, tmp_path: Path) -> None:
    module = network(targets)
    spec = spec_of(declared, FORMATS[declared])
    rows = numbers()

    model = load_model(spec, save(declared, module, tmp_path))
    found = predicted(spec, model, batch_of(rows))

    with torch.inference_mode():
        expected = module(torch.from_numpy(matrix(rows))).numpy()
    names = ["prediction"] if targets == 1 else ["prediction_0", "prediction_1", "prediction_2"]
    assert [field.name for field in model.outputs] == names
    assert {field.type for field in model.outputs} == {pa.float64()}
    for position, name in enumerate(names):
        assert found[name] == column(expected[:, position])


@pytest.mark.parametrize("declared", FORMATS)
def test_double_precision_stays_double(declared: str, tmp_path: Path) -> None:
    module = nn.Linear(3, 1).double().eval()
    spec = spec_of(declared, FORMATS[declared])
    model = load_model(spec, save(declared, module, tmp_path, torch.zeros(2, 3, dtype=torch.float64)))
    rows = numbers()
    with torch.inference_mode():
        expected = module(torch.from_numpy(np.column_stack(list(rows.values())))).numpy()
    assert predicted(spec, model, batch_of(rows)) == {"prediction": column(expected)}
    assert model.outputs[0].type == pa.float64()


class ByName(nn.Module):
    def forward(self, hour: torch.Tensor, distance: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"late": distance * 2 + hour, "both": torch.stack([distance, hour], 1)}


def test_a_program_with_one_input_per_feature_gets_them_by_name(tmp_path: Path) -> None:
    path = save("pytorch-export", ByName().eval(), tmp_path, torch.zeros(2), torch.zeros(2))
    features = (Feature("distance", "double"), Feature("hour", "int64"))
    spec = spec_of("pytorch-export", path.name, features=features)
    model = load_model(spec, path)
    found = predicted(spec, model, batch_of({"distance": [1.0, 2.0], "hour": [10, 20]}))
    assert found == {
        "prediction_late": [12.0, 24.0],
        "prediction_both_0": [1.0, 2.0],
        "prediction_both_1": [10.0, 20.0],
    }


def test_a_programs_maximum_number_of_rows_is_respected(tmp_path: Path) -> None:
    module = network()
    path = save("pytorch-export", module, tmp_path, rows=torch.export.Dim("rows", max=64))
    spec = spec_of("pytorch-export", path.name)
    rows = numbers()
    with torch.inference_mode():
        expected = [module(part).numpy() for part in torch.from_numpy(matrix(rows)).split(64)]
    found = predicted(spec, load_model(spec, path), batch_of(rows))
    assert found == {"prediction": column(np.concatenate(expected))}


def test_concurrent_calls_get_equal_predictions_on_one_thread_each(tmp_path: Path) -> None:
    spec = spec_of("torchscript", "model.pt")
    model = load_model(spec, save("torchscript", network(), tmp_path))
    batch = batch_of(numbers())
    alone = np.asarray(model.predict(batch))
    assert model.concurrent
    results: list[Any] = []
    threads_used: list[int] = []

    def work() -> None:
        results.extend(np.asarray(model.predict(batch)) for _ in range(20))
        threads_used.append(torch.get_num_threads())

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 40
    assert all(np.array_equal(result, alone) for result in results)
    assert threads_used == [1, 1]


class Summing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(0)


class Tall(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(0)


def in_training(module: nn.Module) -> nn.Module:
    return module.train()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda: nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5)).train(),
            "differs from call to call",
        ),
        (Summing, "for a row depends on other rows of the batch"),
        (Tall, r"has the shape \[3\] for 4 rows"),
        (lambda: nn.Linear(5, 1).eval(), r"takes .*float32\[any, 5\], its record has 3 features"),
    ],
    ids=["dropout left on", "depends on the batch", "not a row each", "another number of features"],
)
def test_random_or_batch_dependent_programs_are_refused(
    make: Callable[[], nn.Module], expected: str, tmp_path: Path
) -> None:
    module = make()
    width = module.in_features if isinstance(module, nn.Linear) else 3
    path = save("pytorch-export", module, tmp_path, torch.zeros(2, width))
    with pytest.raises(ModelError, match=expected):
        load_model(spec_of("pytorch-export", path.name), path)


def test_a_program_for_a_fixed_number_of_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(nn.Linear(3, 1).eval(), (torch.zeros(7, 3),)), path)
    with pytest.raises(ModelError, match=r"takes exactly 7 rows: export it .*dynamic_shapes"):
        load_model(spec_of("pytorch-export", path.name), path)


def test_a_wrong_number_of_features_is_refused_by_the_trial(tmp_path: Path) -> None:
    path = save("torchscript", nn.Linear(5, 1).eval(), tmp_path)
    with pytest.raises(ModelError, match=r"failed on a trial of 1 to 4 rows with 3 features.*cannot be multiplied"):
        load_model(spec_of("torchscript", path.name), path)


class Two(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y


def test_torchscript_with_several_inputs_is_refused(tmp_path: Path) -> None:
    path = save("torchscript", Two().eval(), tmp_path)
    with pytest.raises(ModelError, match=r"forward takes \['x', 'y'\].*use format 'pytorch-export'"):
        load_model(spec_of("torchscript", path.name), path)


@pytest.mark.parametrize("declared", FORMATS)
@pytest.mark.parametrize("what", ["module", "weights", "old pickle"])
def test_pickles_are_refused_without_opening_them(declared: str, what: str, tmp_path: Path) -> None:
    module = network()
    path = tmp_path / FORMATS[declared]
    saved = module.state_dict() if what == "weights" else module
    torch.save(saved, path, _use_new_zipfile_serialization=what != "old pickle")
    with pytest.raises(ModelError, match=r"is a pickle of torch.save.*torch.export.save\(.*torch.jit.script"):
        load_model(spec_of(declared, path.name), path)


def test_a_file_of_the_other_format_is_refused_by_name(tmp_path: Path) -> None:
    script = save("torchscript", network(), tmp_path)
    with pytest.raises(ModelError, match="is not pytorch-export, it looks like torchscript"):
        load_model(spec_of("pytorch-export", script.name), script)
    exported = save("pytorch-export", network(), tmp_path)
    with pytest.raises(ModelError, match="is not torchscript, it looks like pytorch-export"):
        load_model(spec_of("torchscript", exported.name), exported)


@pytest.mark.parametrize("declared", FORMATS)
def test_a_file_that_is_not_a_model_is_refused(declared: str, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"no model at all")
    with pytest.raises(ModelError, match=f"'model' cannot be loaded as {declared} .*says pytorch 1.0"):
        load_model(spec_of(declared, "model", framework_version="1.0"), tmp_path / "model")


def test_text_features_are_refused(tmp_path: Path) -> None:
    path = save("torchscript", network(), tmp_path)
    features = (*(Feature(name, "double") for name in NAMES[:2]), Feature("carrier", "string"))
    with pytest.raises(ModelError, match=r"declares \['carrier'\] as string: encode text as numbers"):
        load_model(spec_of("torchscript", path.name, features=features), path)


def test_output_columns_of_a_wrong_number_are_refused(tmp_path: Path) -> None:
    path = save("torchscript", network(3), tmp_path)
    with pytest.raises(ConfigurationError, match=r"names 2 columns .* gives 3"):
        load_model(spec_of("torchscript", path.name, output_columns=("a", "b")), path)
