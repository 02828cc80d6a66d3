"""Models that load without running code are loaded at registration, as a job would load them: also
many at once.
"""

import errno
import itertools
import json
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from cli import main as entry
from cli.documents.model_document import ModelDocument
from cli.failures import CommandError
from cli.sample_scoring import load_checks
from cli.sample_scoring.load_checks import find_load_problems
from cli.stage.connection import Connection
from contract.catalog.model_fields import Feature
from contract.problems import Problem
from tests.unit.cli.builders import make_archive
from tests.unit.cli.sample_scoring.local_onnx import filling_memory, identity, never_ending

Captured = pytest.CaptureFixture[str]
MIB = 1 << 20


def write_xgboost(folder: Path) -> Path:
    frame = pd.DataFrame(np.eye(4), columns=["a", "b", "c", "d"])
    booster = xgboost.XGBClassifier(n_estimators=2).fit(frame, [0, 1, 0, 1])
    booster.save_model(folder / "model.ubj")
    return make_archive(folder / "model.tar.gz", {"model.ubj": (folder / "model.ubj").read_bytes()})


def record(features: str, **fields: Any) -> dict[str, Any]:
    return {
        "artifact": "model.tar.gz",
        "dataset": "customers",
        "format": "xgboost-sklearn-ubj",
        "model_file": "model.ubj",
        "method": "predict",
        "features": features,
        **fields,
    }


def test_record_that_a_job_would_refuse_is_refused_at_registration(
    account: Connection, tmp_path: Path, capsys: Captured
) -> None:
    (write_xgboost(tmp_path).parent / "model.json").write_text(
        json.dumps(record("a:double,b:double,c:double", model_id="churn"))
    )
    words = ["models", "register", f"@{tmp_path / 'model.json'}"]
    assert entry.main(words) == 2
    shown = capsys.readouterr().err
    assert "model_file: got 'model.ubj', expected a model that a job can load with this record" in shown
    assert "the record lacks ['d']" in shown
    assert account.client("s3").list_objects_v2(Bucket="some-models")["KeyCount"] == 0
    assert entry.main([*words, "--no-load-check"]) == 0


def test_bulk_names_each_model_that_a_job_would_refuse_and_registers_nothing(
    account: Connection, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_checks, "_cores", lambda: 1)
    write_xgboost(tmp_path)
    fits, lacks = "a:double,b:double,c:double,d:double", "a:double,b:double,c:double"
    lines = [record(fits, model_id="fits"), record(lacks, model_id="lacks"), record(fits, model_id="other")]
    bulk = tmp_path / "models.jsonl"
    bulk.write_text("".join(json.dumps(line) + "\n" for line in [*lines, record(lacks, model_id="lacks-too")]))
    assert entry.main(["models", "register", "--bulk", str(bulk)]) == 2
    shown = capsys.readouterr().err
    assert "Loading 4 models as a job does ..." in shown
    assert "models.jsonl has 2 problems:" in shown
    for place in ("line 2, model lacks", "line 4, model lacks-too"):
        assert f"{place}: model_file: got 'model.ubj', expected a model that a job can load with this record" in shown
    assert account.client("s3").list_objects_v2(Bucket="some-models")["KeyCount"] == 0
    bulk.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert entry.main(["models", "register", "--bulk", str(bulk), "--no-load-check"]) == 0
    assert "Registered 3 models." in capsys.readouterr().out


def lightgbm_text() -> str:
    options = {"verbose": -1, "min_data_in_leaf": 1, "min_data_in_bin": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(np.arange(50.0).reshape(-1, 1), np.arange(50.0)), 2)
    return str(booster.model_to_string())


def document(model_id: str, **fields: Any) -> ModelDocument:
    values: dict[str, Any] = {"format": "onnx", "features": (Feature("a", "float"),), **fields}
    return ModelDocument(
        model_id=model_id, artifact=model_id, dataset="d", model_file="model", method="predict", **values
    )


@pytest.mark.parametrize(("models", "sizes"), [(1, [1]), (4, [2, 2]), (10, [3, 3, 3, 1]), (12, [3, 3, 3, 3])])
def test_processes_load_batches_of_one_size(models: int, sizes: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_checks, "_MODELS_PER_PROCESS", 3)
    documents = [document(f"m-{number}") for number in range(models)]
    batches = list(load_checks._batches(documents, load_checks._batch_size(models, 2)))
    assert [len(batch) for batch in batches] == sizes
    assert list(itertools.chain(*batches)) == documents


def test_models_of_one_framework_share_a_batch_and_others_are_not_loaded() -> None:
    trees = [document(name, format="lightgbm-text") for name in ("t-1", "t-2")]
    networks = [document(name) for name in ("n-1", "n-2", "n-3")]
    pickle = document("pickle", format="sklearn-joblib")
    given = [networks[0], trees[0], pickle, networks[1], networks[2], trees[1]]
    assert list(load_checks._batches(given, 2)) == [networks[:2], trees, networks[2:]]


def problems_of(folder: Path, models: Mapping[str, tuple[bytes, dict[str, Any]]]) -> dict[str, tuple[Problem, ...]]:
    for name, (content, _) in models.items():
        make_archive(folder / name, {"model": content})
    documents = [document(name, **fields) for name, (_, fields) in models.items()]

    def opened(item: ModelDocument) -> Any:
        return nullcontext((folder / item.artifact, []))

    found = find_load_problems(documents, opened, at_most=len(documents))
    return {name: found.get(name, ()) for name in models}


def test_model_that_crashes_or_hangs_is_named_and_the_others_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_checks, "_LOAD_SECONDS", 2)
    monkeypatch.setattr(load_checks, "_cores", lambda: 1)
    text, tree = lightgbm_text(), {"format": "lightgbm-text", "features": (Feature("Column_0", "double"),)}
    found = problems_of(
        tmp_path,
        {
            "good": (identity(), {}),
            "hanging": (never_ending(), {}),
            "narrow": (identity(), {"features": (Feature("a", "float"), Feature("b", "float"))}),
            "tree": (text.encode(), tree),
            # LightGBM ends the process for it.
            "crashing": (re.sub(r"num_cat=0", "num_cat=100", text).encode(), tree),
            "pickle": (b"whatever", {"format": "sklearn-joblib"}),
        },
    )
    texts = {name: str(problems[0]) for name, problems in found.items() if problems}
    assert texts.keys() == {"hanging", "narrow", "crashing"}
    assert "a job can load with this record (loading it takes longer than 2 seconds)" in texts["hanging"]
    assert texts["hanging"].endswith("add --no-load-check, which registers models without loading them.")
    assert "it ended the process with SIGABRT: " in texts["crashing"]
    assert "Tree model should contain cat_boundaries field" in texts["crashing"]
    assert "(model 'narrow': its record has 2 features, it was trained on 1: correct" in texts["narrow"]


def test_model_that_needs_more_memory_than_its_share_is_tried_again_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_checks, "_PROCESS_BYTES", 700 * MIB)
    monkeypatch.setattr(load_checks, "_cores", lambda: 2)
    monkeypatch.setattr(load_checks, "free_memory", lambda: 1_900 * MIB)
    found = problems_of(
        tmp_path,
        {
            "good": (identity(), {}),
            "large": (filling_memory(100 * MIB, 4), {}),
            "huge": (filling_memory(2_000 * MIB, 1), {}),
        },
    )
    assert [name for name, problems in found.items() if problems] == ["huge"]
    assert "add --no-load-check" in str(found["huge"][0])


def test_model_for_which_others_leave_no_room_is_tried_again_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_to_small_disk(source: Path, target: Path) -> None:
        if any(target.parent.iterdir()):
            target.write_bytes(b"a part")
            raise OSError(errno.ENOSPC, "No space left on device")
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr("cli.sample_scoring.load_checks.shutil.copyfile", copy_to_small_disk)
    monkeypatch.setattr(load_checks, "_cores", lambda: 1)
    assert problems_of(tmp_path, {"first": (identity(), {}), "second": (identity(), {})}) == {"first": (), "second": ()}


def test_model_that_fits_on_no_disk_is_a_problem_that_names_its_folder() -> None:
    answer = {"no_room": "No space left on device"}
    result = load_checks._result_of(document("large"), answer)
    assert result.depends_on_machine
    assert str(result.problems[0]) == (
        f"artifact: got 'large', expected an artifact that can be unpacked below {tempfile.gettempdir()} "
        "(No space left on device). Set TMPDIR to a folder with more room."
    )


def test_no_model_is_loaded_after_an_interruption() -> None:
    stop = threading.Event()
    stop.set()
    limits = load_checks._Limits(1, 0)

    def opened(_: Any) -> Any:
        raise AssertionError("an artifact was opened")

    assert load_checks._load_batch([document("a")], Path(), opened, limits, stop) == {}
    assert list(load_checks._load_copied([document("a")], Path(), limits, stop)) == []


def test_no_model_is_refused_because_of_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()

    def interrupted(*_: Any) -> tuple[list[dict[str, Any]], str]:
        stop.set()
        return [{"problem": None}], "it ended the process with exit code 0"

    monkeypatch.setattr(load_checks, "_run", interrupted)
    models = [document("a"), document("b")]
    found = list(load_checks._load_copied(models, Path(), load_checks._Limits(1, 0), stop))
    assert found == [("a", load_checks._Result())]


def test_no_artifact_is_copied_after_an_interruption(tmp_path: Path) -> None:
    stop = threading.Event()
    opened: list[str] = []

    def interrupt(item: ModelDocument) -> Any:
        opened.append(item.model_id)
        stop.set()
        return nullcontext((make_archive(tmp_path / item.model_id, {"model": identity()}), []))

    assert (
        load_checks._load_batch([document("a"), document("b")], tmp_path, interrupt, load_checks._Limits(1, 0), stop)
        == {}
    )
    assert opened == ["a"]


def test_models_are_loaded_while_others_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_checks, "_cores", lambda: 1)
    monkeypatch.setattr(load_checks, "_MODELS_PER_PROCESS", 1)
    loading = threading.Event()

    def opened(item: ModelDocument) -> Any:
        loading.set()
        return nullcontext((make_archive(tmp_path / item.model_id, {"model": identity()}), []))

    def checked() -> Iterator[ModelDocument]:
        yield document("first")
        assert loading.wait(60)
        yield document("second")

    assert find_load_problems(checked(), opened, at_most=2) == {}


def test_error_of_a_check_ends_the_loading_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that loads models ends after one of them, and no other one starts."""
    monkeypatch.setattr(load_checks, "_cores", lambda: 1)
    monkeypatch.setattr(load_checks, "_MODELS_PER_PROCESS", 300)
    started, answered = threading.Event(), list[Any]()
    run = load_checks._run
    archive = make_archive(tmp_path / "model.tar.gz", {"model": identity()})

    def watched(*arguments: Any) -> Any:
        started.set()
        answers, ending = run(*arguments)
        answered.extend(answers)
        return answers, ending

    def checked() -> Iterator[ModelDocument]:
        yield from (document(f"m-{number}") for number in range(300))
        assert started.wait(60)
        raise CommandError("S3 does not answer")

    monkeypatch.setattr(load_checks, "_run", watched)
    with pytest.raises(CommandError, match="S3 does not answer"):
        find_load_problems(checked(), lambda _: nullcontext((archive, [])), at_most=600)
    assert len(answered) < 300
