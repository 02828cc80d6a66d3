"""Registration of many models: all or none, and repeatable."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from cli import main as entry
from cli.artifact_check.check import CheckedArtifact, check_artifact
from cli.documents.bulk_file import read_bulk
from cli.documents.model_document import ModelDocument
from cli.failures import CommandError
from cli.stage.catalog import bulk_registration
from cli.stage.catalog.catalog import Catalog
from cli.stage.catalog.catalog_table import CatalogTable, VersionTakenError
from cli.stage.catalog.model_deletion import ModelDeletion
from cli.stage.catalog.stoppable_threads import in_threads
from cli.stage.catalog.version_writes import NewVersion
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract.catalog.model_fields import Feature
from contract.catalog.models import Model
from contract.problems import InvalidInputError, Problem
from tests.unit.cli.builders import make_archive

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def catalog(account: Connection, deployment: Deployment) -> Catalog:
    """The catalog that commands use."""
    return Catalog(account, deployment)


@pytest.fixture
def deletion(account: Connection, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> ModelDeletion:
    """Deletes models while no execution is running."""
    monkeypatch.setattr(ModelDeletion, "_running", lambda _: iter(()))
    return ModelDeletion(account, deployment)


def line_of(model_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "model_id": model_id,
        "artifact": "model.tar.gz",
        "dataset": "customers",
        "format": "sklearn-joblib",
        "model_file": "model.joblib",
        "method": "predict",
        "features": [{"name": "age", "type": "double"}],
        **fields,
    }


def write_lines(folder: Path, *lines: Mapping[str, Any]) -> Path:
    make_archive(folder / "model.tar.gz", {"model.joblib": b"some model"})
    path = folder / "models.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def current_versions(catalog: Catalog) -> dict[str, str]:
    return {model.model_id: model.current_version for model, _ in catalog.models()}


def test_bulk_registers_more_models_than_one_transaction_holds(
    catalog: Catalog, tmp_path: Path, capsys: Captured
) -> None:
    names = [f"m-{number:03}" for number in range(51)]  # two actions per model
    path = write_lines(tmp_path, *(line_of(name, tags={"team": "ads"}) for name in names))
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    assert "Registered 51 models." in capsys.readouterr().out
    assert current_versions(catalog) == dict.fromkeys(names, "1")
    model, [version] = catalog.show("m-007")
    assert (model.tags, len(model.history)) == ({"team": "ads"}, 1)
    assert version.registered_by == model.history[0].changed_by != ""


def test_bulk_makes_one_request_per_new_model_besides_those_for_many(
    catalog: Catalog, account: Connection, tmp_path: Path
) -> None:
    path = write_lines(tmp_path, *(line_of(f"m-{number:03}") for number in range(60)))
    calls: Counter[str] = Counter()
    events = account.session().events
    events.register("before-call", lambda model, **_: calls.update([model.name] if model.name != "PutObject" else []))
    # Most uploads do not pass all of botocore's steps.
    events.register("before-send.s3.PutObject", lambda **_: calls.update(["PutObject"]))
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    once = {"DescribeStacks", "GetCallerIdentity"}
    assert {name: count for name, count in calls.items() if name not in once} == {
        "BatchGetItem": 2,
        "PutObject": 60,
        "TransactWriteItems": 2,
    }


def test_bulk_gives_no_number_of_a_deleted_model_again(
    catalog: Catalog, deletion: ModelDeletion, tmp_path: Path
) -> None:
    path = write_lines(tmp_path, line_of("a"), line_of("b"))
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    deletion.delete_model("a")
    assert current_versions(catalog) == {"b": "1"}
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    assert current_versions(catalog) == {"a": "2", "b": "1"}


def test_bulk_repeats_a_transaction_that_was_throttled(
    catalog: Catalog, account: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr("cli.stage.catalog.catalog_table._PAUSES", (0.0, 0.0))
    path = write_lines(tmp_path, line_of("a"))
    reasons = [{"Code": "None"}, {"Code": "ThrottlingError"}, {"Code": "None"}]
    answer = {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": reasons}
    throttled = [1, 2, 3, 4, 5]
    account.session().events.register(
        "before-call.dynamodb.TransactWriteItems",
        lambda **_: (SimpleNamespace(status_code=400), answer) if throttled and throttled.pop() else None,
    )
    assert entry.main(["models", "register", "--bulk", str(path)]) == 4
    assert len(throttled) == 2  # three tries
    assert "TransactionCanceledException" in capsys.readouterr().err
    assert catalog.models() == []
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    assert current_versions(catalog) == {"a": "1"}


def test_bulk_says_what_has_been_registered_when_others_keep_changing_a_model(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    names = [f"m-{number:03}" for number in range(40)]
    path = write_lines(tmp_path, *(line_of(name) for name in names))
    write = CatalogTable.write

    def refuse_the_last(self: CatalogTable, *actions: Any) -> None:
        if any("MODEL#m-039" in str(action) for action in actions):
            raise VersionTakenError
        write(self, *actions)

    monkeypatch.setattr(CatalogTable, "write", refuse_the_last)
    assert entry.main(["models", "register", "--bulk", str(path)]) == 2
    assert "Another command is changing the same models: 33 of 40 are registered now" in capsys.readouterr().err
    assert current_versions(catalog) == dict.fromkeys(names[:33], "1")


def test_bulk_says_what_is_assumed_about_missing_values(catalog: Catalog, tmp_path: Path, capsys: Captured) -> None:
    said = line_of("said", format="xgboost-ubj", missing=-999)
    path = write_lines(tmp_path, said, *(line_of(f"unsaid-{number}", format="xgboost-ubj") for number in range(8)))
    assert entry.main(["models", "register", "--bulk", str(path), "--no-load-check"]) == 0
    [note] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Note: ")]
    assert note.startswith(
        "Note: lines 2, 3, 4, 5, 6 and 3 more: missing is not set, so only nulls and NaN count as missing values"
    )


def test_bulk_reports_every_problem_and_writes_nothing(
    catalog: Catalog, tmp_path: Path, connection: Connection, capsys: Captured
) -> None:
    path = write_lines(
        tmp_path,
        line_of("good"),
        line_of("UPPER", method="margin"),
        line_of("good"),
        {"model_id": "bare"},
    )
    path.write_text(path.read_text() + "not json\n\n[]\n")
    assert entry.main(["models", "register", "--bulk", str(path)]) == 2
    shown = capsys.readouterr().err
    for part in (
        "line 2: model_id: got 'UPPER'",
        "line 2: method: got 'margin'",
        "line 3: model_id: got 'good', expected each model once; it is also in line 1",
        "line 4: artifact: got nothing",
        "line 5: model: got 'not json', expected JSON text",
        "line 7: model: got [], expected a JSON object",
    ):
        assert part in shown
    assert "line 5: artifact" not in shown
    lines = [line_of("good"), line_of("lost", artifact="nothing.tar.gz"), line_of("else", model_file="model.pkl")]
    write_lines(tmp_path, *lines)
    assert entry.main(["models", "register", "--bulk", str(path)]) == 2
    shown = capsys.readouterr().err
    assert "line 2, model lost: artifact: got" in shown
    assert "line 3, model else: model_file: got 'model.pkl'" in shown
    assert catalog.models() == []
    assert connection.client("s3").list_objects_v2(Bucket="some-models")["KeyCount"] == 0


def test_bulk_reports_a_problem_of_many_lines_once(catalog: Catalog, tmp_path: Path, capsys: Captured) -> None:
    lines = [{**line_of(f"m-{number}", format="pickle"), "dataset": None} for number in range(60)]
    assert entry.main(["models", "register", "--bulk", str(write_lines(tmp_path, *lines))]) == 2
    shown = capsys.readouterr().err
    assert "models.jsonl has 2 problems:" in shown
    assert "lines 1, 2, 3, 4, 5 and 55 more: format: got 'pickle', expected one of" in shown
    assert "lines 1, 2, 3, 4, 5 and 55 more: dataset: got nothing" in shown
    lines = [line_of(f"m-{number}", artifact="lost.tar.gz") for number in range(3)]
    assert entry.main(["models", "register", "--bulk", str(write_lines(tmp_path, *lines))]) == 2
    assert "lines 1, 2 and 3: artifact: got" in capsys.readouterr().err


def test_bulk_refuses_an_existing_version_with_another_artifact(
    catalog: Catalog, tmp_path: Path, connection: Connection, capsys: Captured
) -> None:
    path = write_lines(tmp_path, line_of("churn", version="v1"))
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    make_archive(tmp_path / "model.tar.gz", {"model.joblib": b"another model"})
    assert entry.main(["models", "register", "--bulk", str(path)]) == 2
    assert (
        "line 1, model churn: version: got 'v1', expected a version that does not exist yet" in capsys.readouterr().err
    )
    connection.client("s3").put_object(Bucket="some-models", Key="new/v1/model.tar.gz", Body=b"left behind")
    path.write_text(json.dumps(line_of("new", version="v1")))
    assert entry.main(["models", "register", "--bulk", str(path)]) == 2
    assert "line 1, model new: version: got 'v1', expected a version that is free" in capsys.readouterr().err
    assert current_versions(catalog) == {"churn": "v1"}


def test_interrupted_bulk_changes_no_current_version_and_can_be_repeated(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    old = write_lines(tmp_path, line_of("a"), line_of("b"))
    assert entry.main(["models", "register", "--bulk", str(old)]) == 0
    make_archive(tmp_path / "new.tar.gz", {"model.joblib": b"new model"})
    path = write_lines(tmp_path, *(line_of(name, artifact="new.tar.gz") for name in ("a", "b", "c", "d")))
    store = Catalog.store
    stored: list[str] = []

    def fail_at_c(self: Catalog, document: Any, *arguments: Any) -> Any:
        if document.model_id == "c":
            raise EndpointConnectionError(endpoint_url="https://s3")
        stored.append(document.model_id)
        return store(self, document, *arguments)

    before = catalog.models()
    with monkeypatch.context() as patched:
        patched.setattr(Catalog, "store", fail_at_c)
        assert entry.main(["models", "register", "--bulk", str(path)]) == 4
    assert stored
    assert catalog.models() == before
    assert sorted(catalog.versions("a")) == ["1"]
    assert entry.main(["models", "show", "d"]) == 2  # no version that looks as if it had been trained
    capsys.readouterr()
    assert entry.main(["models", "register", "--bulk", str(path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["versions_written"], shown["versions_found"]) == (4, 0)
    assert current_versions(catalog) == {"a": "2", "b": "2", "c": "1", "d": "1"}
    assert sorted(catalog.versions("a")) == ["1", "2"]
    before = catalog.models()
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    assert "Registered 4 models; 4 of the versions existed already." in capsys.readouterr().out
    assert catalog.models() == before


def test_bulk_broken_off_between_transactions_continues_with_the_others(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.stage.catalog.catalog_table.TRANSACTION_ITEMS", 6)  # three actions per new model
    names = [f"m-{number:03}" for number in range(5)]
    path = write_lines(tmp_path, *(line_of(name) for name in names))
    write, calls = CatalogTable.write, list[int]()

    def fail_second(self: CatalogTable, *actions: Any) -> None:
        calls.append(len(actions))
        if len(calls) == 2:
            raise EndpointConnectionError(endpoint_url="https://dynamodb")
        write(self, *actions)

    with monkeypatch.context() as patched:
        patched.setattr(CatalogTable, "write", fail_second)
        assert entry.main(["models", "register", "--bulk", str(path)]) == 4
    assert current_versions(catalog) == dict.fromkeys(names[:2], "1")
    assert catalog.versions("m-003") == {}
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    assert current_versions(catalog) == dict.fromkeys(names, "1")
    assert {len(catalog.versions(name)) for name in names} == {1}


def test_bulk_names_the_model_whose_record_is_too_large(
    catalog: Catalog, tmp_path: Path, connection: Connection, capsys: Captured
) -> None:
    tags = {f"tag-{number}": "x" * 4_000 for number in range(110)}
    path = write_lines(tmp_path, line_of("small"), line_of("large", tags=tags))
    assert entry.main(["models", "register", "--bulk", str(path)]) == 2
    shown = capsys.readouterr().err
    assert "line 2, model large: size of the record: got '44" in shown
    assert "at most 409,600 bytes, DynamoDB's limit for a record (tags takes" in shown
    assert catalog.models() == []
    assert connection.client("s3").list_objects_v2(Bucket="some-models")["KeyCount"] == 0


def test_bulk_keeps_a_concurrent_change_of_a_model(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lines(tmp_path, line_of("a"), line_of("b"))
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    make_archive(tmp_path / "model.tar.gz", {"model.joblib": b"new model"})
    while_artifacts_are_stored(monkeypatch, lambda: catalog.set_enabled("a", False))
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    assert {m.model_id: (m.current_version, m.enabled) for m, _ in catalog.models()} == {
        "a": ("2", False),
        "b": ("2", True),
    }


def test_bulk_reads_csv_files(tmp_path: Path) -> None:
    (tmp_path / "features.json").write_text('[{"name": "age", "type": "double"}]')
    path = tmp_path / "models.csv"
    path.write_text(
        "model_id,artifact,dataset,format,model_file,method,features,key_columns,tags,max_attempts,enabled,"
        "tolerated_quarantine_fraction\n"
        'a,a.tar.gz,d,sklearn-joblib,m.joblib,predict,"age:double,plan:string:required","id,day",'
        '"team=ads,kind=x",5,false,0.01\n'
        "\n"
        "b,b.tar.gz,d,sklearn-joblib,m.joblib,predict,@features.json,,,,,\n"
    )
    first, second = read_bulk(path)
    assert (first.number, second.number) == (2, 4)
    assert first.document.features == (Feature("age", "double"), Feature("plan", "string", nullable=False))
    assert first.document.key_columns == ("id", "day")
    assert first.document.tags == {"team": "ads", "kind": "x"}
    assert (first.document.max_attempts, first.document.enabled) == (5, False)
    assert (first.document.tolerated_quarantine_fraction, second.document.tolerated_quarantine_fraction) == (0.01, 0.0)
    assert (second.document.tags, second.document.enabled, second.document.max_attempts) == (None, None, 3)
    assert second.document.features == (Feature("age", "double"),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("model_id,colour\na,red\n", r"line 1: got \['colour'\], expected a header of fields"),
        ("model_id,dataset\na\n", "line 2: model: got .* expected 2 cells"),
        ('model_id\n"a', "expected CSV"),
        ("model_id,max_attempts,features,tags\na,many,age,team\n", "line 2: max_attempts: got 'many'"),
        ("model_id,tolerated_quarantine_fraction\na,few\n", "line 2: tolerated_quarantine_fraction: got 'few'"),
        ("", "at least one model"),
        ("model_id,features\na,@nothing.json\n", "line 2: features: got '@.*nothing.json'"),
    ],
)
def test_malformed_bulk_csv_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "models.csv").write_text(text)
    with pytest.raises(InvalidInputError, match=why):
        read_bulk(tmp_path / "models.csv")


def test_bulk_file_with_another_extension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="a file that can be read"):
        read_bulk(tmp_path / "models.jsonl")
    (tmp_path / "models.xlsx").write_text("")
    with pytest.raises(InvalidInputError, match=r"ends in \.jsonl or \.csv"):
        read_bulk(tmp_path / "models.xlsx")


@pytest.mark.usefixtures("account")
def test_bulk_refuses_flags_of_a_single_model(tmp_path: Path, capsys: Captured) -> None:
    path = write_lines(tmp_path, line_of("a"))
    words = ["models", "register", "churn", "--bulk", str(path), "--dataset", "d", "--tag", "a=b"]
    assert entry.main(words) == 2
    assert "leave out --dataset, --tag, MODEL_ID" in capsys.readouterr().err
    assert entry.main(["models", "register"]) == 2
    assert "Name the model" in capsys.readouterr().err


def test_bulk_csv_has_fields_for_loading_and_custom_code(tmp_path: Path) -> None:
    path = tmp_path / "models.csv"
    path.write_text(
        "model_id,artifact,dataset,format,model_file,method,features,custom_code,output_columns,output_types,accelerator\n"
        'own,m.tar.gz,customers,custom,code/inference.py,predict,age:double,true,"a,b","string,double",\n'
        "fast,m.tar.gz,customers,xgboost-ubj,model.ubj,predict,age:double,,,,daal4py\n"
    )
    own, fast = (line.document for line in read_bulk(path))
    assert (own.custom_code, own.output_types, own.accelerator) == (True, ("string", "double"), "")
    assert (fast.custom_code, fast.accelerator) == (False, "daal4py")


def test_bulk_names_the_flags_that_it_refuses(tmp_path: Path, capsys: Captured) -> None:
    flags = ["--disabled", "--no-csv-header", "--tag", "team=risk", "--csv-quote", "", "--infer-schema", "sample.csv"]
    assert entry.main(["models", "register", "churn", *flags, "--bulk", str(tmp_path / "models.csv")]) == 2
    named = "--csv-quote, --disabled, --infer-schema, --no-csv-header, --tag, MODEL_ID"
    assert f"--bulk takes every field from the file: leave out {named}." in capsys.readouterr().err


def test_running_threads_end_at_their_next_step_after_an_interruption() -> None:
    ended: list[int] = []

    def work(item: int, stop: threading.Event) -> int:
        if not item:
            raise KeyboardInterrupt
        assert stop.wait(10)
        ended.append(item)
        return item

    with pytest.raises(KeyboardInterrupt):
        list(in_threads(work, range(3), 3))
    assert set(ended) <= {1, 2}


def test_error_of_a_model_check_ends_the_checks_of_artifacts(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lines(tmp_path, *(line_of(f"m-{number}") for number in range(10)))
    checked: list[str] = []

    def check_slowly(artifact: Path, document: ModelDocument) -> CheckedArtifact:
        if checked:
            time.sleep(0.1)  # while the error is raised
        checked.append(document.model_id)
        return check_artifact(artifact, document)

    def fail(documents: Iterable[ModelDocument], _: int) -> Mapping[str, Sequence[Problem]]:
        next(iter(documents))
        raise CommandError("the container's code cannot be started")

    monkeypatch.setattr(bulk_registration, "_THREADS", 1)
    monkeypatch.setattr(bulk_registration, "check_artifact", check_slowly)
    with pytest.raises(CommandError, match="cannot be started"):
        bulk_registration.register_all(catalog, read_bulk(path), path, registered_by="me", check=fail)
    time.sleep(1.5)  # long enough for all, if the checks went on
    assert len(checked) < 10


def test_bulk_sets_no_model_back_unless_it_is_allowed(catalog: Catalog, tmp_path: Path, capsys: Captured) -> None:
    old = write_lines(tmp_path, line_of("a"), line_of("b"), line_of("new"))
    assert entry.main(["models", "register", "--bulk", str(old)]) == 0
    make_archive(tmp_path / "better.tar.gz", {"model.joblib": b"better model"})
    newer = tmp_path / "newer.jsonl"
    newer.write_text("".join(json.dumps(line_of(name, artifact="better.tar.gz")) + "\n" for name in "ab"))
    assert entry.main(["models", "register", "--bulk", str(newer)]) == 0
    capsys.readouterr()
    before = catalog.models()

    # Model c is new, and is not registered either.
    lines = (line_of("a"), line_of("b", max_attempts=7), line_of("new"), line_of("c"))
    old.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert entry.main(["models", "register", "--bulk", str(old)]) == 2
    shown = capsys.readouterr().err
    assert "2 models would be set back, so nothing was registered" in shown
    assert "a: equals version 1, but version 2 is current (registered)" in shown
    assert "b: has the artifact of version 1, but version 2 is current" in shown
    assert "--allow-backwards" in shown
    assert catalog.models() == before

    assert entry.main(["models", "register", "--bulk", str(old), "--json"]) == 2
    listed = json.loads(capsys.readouterr().out)
    assert listed["models"] == []
    assert [(item["model_id"], item["version"], item["same_record"]) for item in listed["set_back"]] == [
        ("a", "1", True),
        ("b", "1", False),
    ]
    assert entry.main(["models", "register", "--bulk", str(old), "--allow-backwards", "--json"]) == 0
    assert [item["model_id"] for item in json.loads(capsys.readouterr().out)["set_back"]] == ["a", "b"]
    assert current_versions(catalog) == {"a": "1", "b": "3", "new": "1", "c": "1"}


def test_bulk_does_not_restore_a_version_that_was_rolled_back(
    catalog: Catalog, tmp_path: Path, capsys: Captured
) -> None:
    assert entry.main(["models", "register", "--bulk", str(write_lines(tmp_path, line_of("a")))]) == 0
    path = tmp_path / "changed.jsonl"
    path.write_text(json.dumps(line_of("a", max_attempts=7)))
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    catalog.roll_back("a", reason="bad in production")
    assert entry.main(["models", "register", "--bulk", str(path)]) == 2
    assert "a: equals version 2, but version 1 is current (bad in production)" in capsys.readouterr().err
    assert current_versions(catalog) == {"a": "1"}


def while_artifacts_are_stored(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Let another command change the catalog between the checks of a bulk registration and its writes."""
    write_all = Catalog.write_all

    def change_first(self: Catalog, wanted: Sequence[NewVersion], *, changed_by: str) -> list[Model]:
        change()
        return write_all(self, wanted, changed_by=changed_by)

    monkeypatch.setattr(Catalog, "write_all", change_first)


def roll_back_in_bulk(catalog: Catalog, folder: Path) -> list[str]:
    """Register a model twice, and return a command that makes the first version current again."""
    old = write_lines(folder, line_of("a"))
    assert entry.main(["models", "register", "--bulk", str(old)]) == 0
    make_archive(folder / "better.tar.gz", {"model.joblib": b"better model"})
    newer = folder / "newer.jsonl"
    newer.write_text(json.dumps(line_of("a", artifact="better.tar.gz")))
    assert entry.main(["models", "register", "--bulk", str(newer)]) == 0
    assert current_versions(catalog) == {"a": "2"}
    return ["models", "register", "--bulk", str(old), "--allow-backwards"]


def test_bulk_never_makes_a_version_current_that_was_deleted_meanwhile(
    catalog: Catalog, deletion: ModelDeletion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    words = roll_back_in_bulk(catalog, tmp_path)
    with monkeypatch.context() as patch:
        while_artifacts_are_stored(patch, lambda: "1" in catalog.versions("a") and deletion.delete_version("a", "1"))
        assert entry.main(words) == 2
    assert "Run the command again" in capsys.readouterr().err
    assert current_versions(catalog) == {"a": "2"}
    # The artifact gets the next number.
    assert entry.main(words) == 0
    assert current_versions(catalog) == {"a": "3"}


def test_bulk_sets_no_model_back_that_got_a_version_meanwhile(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    words = roll_back_in_bulk(catalog, tmp_path)[:-1]
    catalog.promote("a", "1")
    with monkeypatch.context() as patch:
        # Version 1 is current when it is checked, so nothing would be set back.
        while_artifacts_are_stored(patch, lambda: catalog.promote("a", "2"))
        assert entry.main(words) == 2
    assert "Version 2 of model a has become current" in capsys.readouterr().err
    assert current_versions(catalog) == {"a": "2"}
    assert entry.main(words) == 2
    assert "a: equals version 1, but version 2 is current" in capsys.readouterr().err


def test_bulk_replaces_no_version_that_became_current_meanwhile_with_an_older_artifact(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    roll_back_in_bulk(catalog, tmp_path)
    catalog.promote("a", "1")
    path = tmp_path / "changed.jsonl"
    path.write_text(json.dumps(line_of("a", max_attempts=7)))
    with monkeypatch.context() as patch:
        # Version 1 is current when it is checked, and has the same artifact.
        while_artifacts_are_stored(patch, lambda: catalog.promote("a", "2"))
        assert entry.main(["models", "register", "--bulk", str(path)]) == 2
    assert "Version 2 of model a has become current" in capsys.readouterr().err
    assert current_versions(catalog) == {"a": "2"}
    assert entry.main(["models", "register", "--bulk", str(path)]) == 2
    assert "a: has the artifact of version 1, but version 2 is current" in capsys.readouterr().err


def test_bulk_does_not_bring_a_model_back_that_was_deleted_meanwhile(
    catalog: Catalog, deletion: ModelDeletion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    path = write_lines(tmp_path, line_of("a"))
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    make_archive(tmp_path / "model.tar.gz", {"model.joblib": b"new model"})
    with monkeypatch.context() as patch:
        while_artifacts_are_stored(patch, lambda: deletion.delete_model("a"))
        assert entry.main(["models", "register", "--bulk", str(path)]) == 2
    assert "Model a was deleted while the registration was running" in capsys.readouterr().err
    assert current_versions(catalog) == {}
    assert entry.main(["models", "register", "--bulk", str(path)]) == 0
    [(model, version)] = catalog.models()
    assert version is not None
    with catalog.artifact(version) as stored:
        assert stored.read_bytes() == (tmp_path / "model.tar.gz").read_bytes()
    assert model.current_version == version.spec.version


def test_an_old_artifact_needs_a_flag_for_one_model_too(catalog: Catalog, tmp_path: Path, capsys: Captured) -> None:
    for name in ("old", "new"):
        make_archive(tmp_path / f"{name}.tar.gz", {"model.joblib": name.encode()})
        assert register_one(tmp_path, f"{name}.tar.gz") == 0
    assert register_one(tmp_path, "new.tar.gz") == 0  # the current artifact again
    assert register_one(tmp_path, "old.tar.gz") == 2
    assert "churn: has the artifact of version 1, but version 3 is current" in capsys.readouterr().err
    assert register_one(tmp_path, "old.tar.gz", "--allow-backwards") == 0
    assert current_versions(catalog) == {"churn": "4"}


def register_one(folder: Path, artifact: str, *options: str) -> int:
    path = folder / "model.json"
    path.write_text(json.dumps(line_of("churn", artifact=artifact)))
    return entry.main(["models", "register", f"@{path}", "--no-load-check", *options])
