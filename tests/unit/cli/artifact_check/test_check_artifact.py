"""`register` inspects artifacts without running them; the libraries themselves write the files."""

import io
import pickle
import struct
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import joblib
import lightgbm
import numpy as np
import pytest
import skops.io
import xgboost
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from cli.artifact_check.check import CheckedArtifact, check_artifact
from cli.artifact_check.pickles import read_pickle
from cli.documents.model_document import ModelDocument
from contract.catalog.model_fields import Feature
from tests.unit.archives_of_attackers import member, packed
from tests.unit.cli.builders import make_archive

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)


def checked(folder: Path, content: bytes, declared: str = "sklearn-joblib", **fields: Any) -> CheckedArtifact:
    archive = make_archive(folder / "model.tar.gz", {"model.bin": content, "readme.txt": b"text"})
    document = ModelDocument(
        model_id="churn",
        artifact=str(archive),
        dataset="customers",
        format=declared,  # type: ignore[arg-type]
        model_file="model.bin",
        method="predict",
        features=(Feature("a", "double"),),
        **fields,
    )
    return check_artifact(archive, document)


def dumped(model: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    joblib.dump(model, sink, **options)
    return sink.getvalue()


def saved(folder: Path, save: Any, name: str) -> bytes:
    save(str(folder / name))
    return (folder / name).read_bytes()


def of_version(version: str, model: Any) -> bytes:
    """Return a pickle as another version of scikit-learn writes it."""
    import sklearn  # noqa: PLC0415

    current = sklearn.base.__version__
    sklearn.base.__version__ = version
    try:
        return dumped(model)
    finally:
        sklearn.base.__version__ = current


@pytest.fixture(scope="module")
def forest() -> Any:
    texts = np.array([["a", "b"], ["c", "d"]] * 20, dtype=object)
    encoder = OneHotEncoder().fit(texts)
    model = make_pipeline(FunctionTransformer(np.log1p), RandomForestClassifier(5, random_state=0)).fit(abs(X), Y)
    model.encoder = encoder  # arrays of objects are pickles inside the file
    return model


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_the_version_is_read_from_every_file_of_joblib(tmp_path: Path, forest: Any, compress: Any) -> None:
    content = dumped(forest, compress=compress)
    found = checked(tmp_path, content)
    assert found.problems == ()
    assert found.document.framework_version == sklearn_version()
    assert found.notes[0] == f"framework_version is {sklearn_version()}, which the file states"
    assert read_pickle(io.BytesIO(content)).complete


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_version_is_read_from_plain_pickles(tmp_path: Path, forest: Any, protocol: int) -> None:
    found = checked(tmp_path, pickle.dumps(forest, protocol))
    assert (found.problems, found.document.framework_version) == ((), sklearn_version())


def sklearn_version() -> str:
    import sklearn  # noqa: PLC0415

    return str(sklearn.__version__)


def test_another_version_of_scikit_learn_is_told(tmp_path: Path) -> None:
    found = checked(tmp_path, of_version("1.2.2", LogisticRegression().fit(X, Y)))
    assert (found.problems, found.document.framework_version) == ((), "1.2.2")
    assert "trained with scikit-learn 1.2.2, scored with 1.9.1, as every job of it will note" in found.notes


def test_another_major_version_of_scikit_learn_is_refused(tmp_path: Path) -> None:
    [problem] = checked(tmp_path, of_version("0.24.2", LogisticRegression().fit(X, Y))).problems
    assert str(problem).startswith(
        "framework_version: got '0.24.2', expected a version that the image's scikit-learn 1.9"
    )
    assert "guarantees nothing across major versions. Train it with scikit-learn 1.x" in str(problem)


def test_a_version_that_the_file_contradicts_is_refused(tmp_path: Path) -> None:
    content = of_version("1.2.2", LogisticRegression().fit(X, Y))
    [problem] = checked(tmp_path, content, framework_version="1.5.0").problems
    assert str(problem).startswith("framework_version: got '1.5.0', expected 1.2.2, which the file states")
    assert checked(tmp_path, content, framework_version="1.2-1").problems == ()


def test_a_class_of_the_training_script_is_refused_and_explained(tmp_path: Path) -> None:
    class Doubler(BaseEstimator, TransformerMixin):  # type: ignore[misc]
        pass

    Doubler.__module__, Doubler.__qualname__ = "__main__", "Doubler"
    sys.modules["__main__"].Doubler = Doubler  # type: ignore[attr-defined]
    try:
        content = dumped(make_pipeline(Doubler(), LogisticRegression().fit(X, Y)))
    finally:
        del sys.modules["__main__"].Doubler  # type: ignore[attr-defined]
    [problem] = checked(tmp_path, content).problems
    assert "got 'model.bin with Doubler', expected no class or function of __main__" in str(problem)
    assert "Move it to a module" in str(problem)
    assert "docs/learn/custom-code.md" in str(problem)
    assert checked(tmp_path, content, custom_code=True).problems == ()


def test_a_module_that_the_image_lacks_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("category_encoders.target")
    encoder = type("TargetEncoder", (), {"__module__": "category_encoders.target"})
    module.TargetEncoder = encoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "category_encoders", types.ModuleType("category_encoders"))
    monkeypatch.setitem(sys.modules, "category_encoders.target", module)
    found = checked(tmp_path, dumped([encoder(), LogisticRegression().fit(X, Y)]))
    assert found.problems == ()
    [note] = [note for note in found.notes if "category_encoders" in note]
    assert "the file needs category_encoders.target.TargetEncoder, and the image 'core' has no module" in note
    assert "code/ with custom_code" in note


def test_versions_of_other_libraries_are_read(tmp_path: Path) -> None:
    booster = xgboost.XGBClassifier(n_estimators=2).fit(X, Y)
    for declared, name in (("xgboost-sklearn-json", "m.json"), ("xgboost-sklearn-ubj", "m.ubj")):
        found = checked(tmp_path, saved(tmp_path, booster.save_model, name), declared)
        assert (found.problems, found.document.framework_version) == ((), xgboost.__version__)
    content = (tmp_path / "m.json").read_bytes()
    assert content.endswith(b'"version":[3,2,0]}')
    [problem] = checked(tmp_path, content.replace(b'"version":[3,', b'"version":[9,'), "xgboost-sklearn-json").problems
    assert "framework_version: got '9.2.0'" in str(problem)
    assert "reads files of earlier versions, not of later" in str(problem)
    trees = catboost.CatBoostClassifier(2, verbose=0, allow_writing_files=False).fit(X, Y)
    found = checked(tmp_path, saved(tmp_path, trees.save_model, "m.cbm"), "catboost-cbm")
    assert (found.problems, found.document.framework_version) == ((), catboost.__version__)
    found = checked(tmp_path, skops.io.dumps(LogisticRegression().fit(X, Y)), "sklearn-skops")
    assert (found.problems, found.document.framework_version) == ((), sklearn_version())


def test_files_of_another_format_are_refused_with_theirs(tmp_path: Path) -> None:
    trees = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, Y)
    booster = xgboost.XGBClassifier(n_estimators=2).fit(X, Y)
    files = {
        "sklearn-joblib": (dumped(LogisticRegression()), {"sklearn-joblib"}),
        "sklearn-skops": (skops.io.dumps(LogisticRegression().fit(X, Y)), {"sklearn-skops"}),
        "lightgbm-text": (saved(tmp_path, trees.booster_.save_model, "m.txt"), {"lightgbm-text"}),
        "xgboost-json": (saved(tmp_path, booster.save_model, "m.json"), {"xgboost-json", "xgboost-sklearn-json"}),
        "xgboost-ubj": (saved(tmp_path, booster.save_model, "m.ubj"), {"xgboost-ubj", "xgboost-sklearn-ubj"}),
        "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), set[str]()),
    }
    declared = ["sklearn-joblib", "sklearn-skops", "xgboost-json", "xgboost-ubj", "lightgbm-text"]
    declared += ["xgboost-sklearn-json", "xgboost-sklearn-ubj", "catboost-cbm", "onnx", "keras", "torchscript"]
    for name, (content, accepted) in files.items():
        for wanted in declared:
            problems = checked(tmp_path, content, wanted).problems
            assert (problems == ()) == (wanted in accepted), (name, wanted, problems)
    [problem] = checked(tmp_path, files["HDF5"][0], "keras").problems
    assert "save it as model.keras" in str(problem)


BOMBS: dict[str, Callable[[], bytes]] = {
    "claims a long text": lambda: b"\x80\x04\x8d" + (1 << 60).to_bytes(8, "little"),
    "claims a long array": lambda: b"\x80\x05\x96" + (1 << 62).to_bytes(8, "little"),
    "nests": lambda: b"\x80\x04" + b"(" * 50_000,
    "a long number": lambda: b"L" + b"9" * 1_000_000 + b"L\n.",
    "expands": lambda: dumped(bytes(1 << 26), compress=("gzip", 9)),
    "endless opcodes": lambda: b"\x80\x04" + b"N0" * 50_000 + b".",
    "references itself": lambda: b"\x80\x04]\x94" + b"h\x00a" * 10_000 + b".",
    "cut off": lambda: dumped(RandomForestClassifier(3).fit(X, Y))[:2_000],
    "array with lengths of millions of digits": lambda: (
        b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(X\x05\0\0\0shape"
        + (b"\x8b" + struct.pack("<i", 4 << 20) + b"\x7f" * (4 << 20) + b"2\x86")
        + b"X\x05\0\0\0dtypecnumpy\ndtype\nX\x02\0\0\0f8\x85R(K\x03NNNNJ\x08\0\0\0K\x01K\0tbub."
    ),
}


@pytest.mark.parametrize("name", list(BOMBS))
def test_hostile_pickles_are_read_within_limits(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.artifact_check.pickles._MAX_OPCODES", 60_000)
    monkeypatch.setattr("cli.artifact_check.pickles._MAX_READ_BYTES", 1 << 25)
    content = BOMBS[name]()
    assert checked(tmp_path, content).problems == ()
    assert read_pickle(io.BytesIO(content)).complete == (name == "references itself")


def test_nothing_of_a_pickle_is_run(tmp_path: Path) -> None:
    target = tmp_path / "made"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (target,)

    found = checked(tmp_path, pickle.dumps(Evil()))
    assert found.problems == ()
    assert not target.exists()


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("model.bin", b"x"), ("../victim", b"x")], "member '../victim' leads outside the archive's folder"),
        # Only the header is there: it is refused before anything of the file is read.
        ([member("model.bin", size=6 << 30)], "its files have more than 4,294,967,296 bytes when member 'model.bin'"),
    ],
)
@pytest.mark.parametrize("custom_code", [False, True])
def test_archive_that_no_job_would_unpack_is_refused(
    tmp_path: Path, entries: list[Any], words: str, custom_code: bool
) -> None:
    archive = tmp_path / "model.tar.gz"
    archive.write_bytes(packed(*entries))
    document = ModelDocument(
        model_id="churn",
        artifact=str(archive),
        dataset="customers",
        format="onnx",
        model_file="model.bin",
        method="predict",
        features=(Feature("a", "double"),),
        custom_code=custom_code,
    )
    [problem] = check_artifact(archive, document).problems
    assert words in problem.expected
