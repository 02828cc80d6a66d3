import hashlib
import random
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from cli.documents.model_document import ModelDocument
from cli.failures import CommandError
from cli.stage.catalog.catalog import Catalog
from cli.stage.catalog.catalog_table import CatalogTable, VersionTakenError
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract.catalog.model_fields import Feature
from contract.problems import InvalidInputError
from tests.unit.cli.builders import make_archive


@pytest.fixture
def catalog(connection: Connection, deployment: Deployment) -> Catalog:
    return Catalog(connection, deployment)


@pytest.fixture
def document(tmp_path: Path) -> ModelDocument:
    make_archive(tmp_path / "model.tar.gz", {"./model.joblib": b"some model"})
    return ModelDocument(
        model_id="churn",
        artifact=str(tmp_path / "model.tar.gz"),
        dataset="customers",
        format="sklearn-joblib",
        model_file="model.joblib",
        method="predict",
        features=(Feature("age", "double"),),
        tags={"team": "ads"},
    )


def test_registered_model_is_listed_and_its_artifact_is_stored(
    catalog: Catalog, document: ModelDocument, connection: Connection, tmp_path: Path
) -> None:
    done = catalog.register(document, registered_by="me")
    content = (tmp_path / "model.tar.gz").read_bytes()
    assert done.version.spec.artifact_sha256 == hashlib.sha256(content).hexdigest()
    assert done.version.spec.artifact_bytes == len(content)
    assert done.artifact_uri == "s3://some-models/churn/1/model.tar.gz"
    stored = connection.client("s3").get_object(Bucket="some-models", Key="churn/1/model.tar.gz")["Body"].read()
    assert stored == content
    [(model, version)] = catalog.models()
    assert version == done.version
    assert (model.enabled, model.current_version, model.tags) == (True, "1", {"team": "ads"})
    assert done.version.registered_by == "me"


def test_new_version_gets_the_next_number_and_keeps_old_versions(catalog: Catalog, document: ModelDocument) -> None:
    catalog.register(document)
    catalog.register(replace(document, version="2026-03"))
    catalog.register(replace(document, version="9"))
    done = catalog.register(document)
    assert done.version.spec.version == "10"
    model, versions = catalog.show("churn")
    assert model.current_version == "10"
    assert [version.spec.version for version in versions] == ["1", "2026-03", "9", "10"]
    assert [version.spec.version for version in catalog.show("churn", "9")[1]] == ["9"]


def test_version_is_never_overwritten(catalog: Catalog, document: ModelDocument, tmp_path: Path) -> None:
    first = catalog.register(replace(document, version="1"))
    make_archive(tmp_path / "model.tar.gz", {"model.joblib": b"another model"})
    with pytest.raises(CommandError, match=r"already has a version 1.*with another artifact.*Choose another --version"):
        catalog.register(replace(document, version="1"))
    assert catalog.show("churn", "1")[1] == [first.version]


def test_artifact_left_behind_is_never_overwritten(
    catalog: Catalog, document: ModelDocument, connection: Connection
) -> None:
    s3 = connection.client("s3")
    s3.put_object(Bucket="some-models", Key="churn/1/model.tar.gz", Body=b"left behind")
    with pytest.raises(CommandError, match="already holds another artifact"):
        catalog.register(replace(document, version="1"))
    assert catalog.register(document).version.spec.version == "2"
    assert s3.get_object(Bucket="some-models", Key="churn/1/model.tar.gz")["Body"].read() == b"left behind"


def test_interrupted_registration_of_the_same_bytes_continues(
    catalog: Catalog, document: ModelDocument, connection: Connection
) -> None:
    content = Path(document.artifact).read_bytes()
    connection.client("s3").put_object(Bucket="some-models", Key="churn/1/model.tar.gz", Body=content)
    assert catalog.register(document).version.spec.version == "1"


def test_artifact_in_s3_is_checked_and_copied(
    catalog: Catalog, document: ModelDocument, connection: Connection
) -> None:
    s3 = connection.client("s3")
    s3.upload_file(document.artifact, "some-results", "training/output/model.tar.gz")
    done = catalog.register(replace(document, artifact="s3://some-results/training/output/model.tar.gz"))
    assert done.version.spec.artifact_sha256 == hashlib.sha256(Path(document.artifact).read_bytes()).hexdigest()
    with pytest.raises(InvalidInputError, match="an object that exists"):
        catalog.register(replace(document, artifact="s3://some-results/training/nothing.tar.gz"))


def test_archive_without_the_model_file_is_refused_before_any_write(
    catalog: Catalog, document: ModelDocument, connection: Connection
) -> None:
    with pytest.raises(InvalidInputError, match=r"model_file: got 'model\.pkl'.*which holds: model\.joblib"):
        catalog.register(replace(document, model_file="model.pkl"))
    assert connection.client("s3").list_objects_v2(Bucket="some-models")["KeyCount"] == 0
    assert catalog.models() == []


def test_damaged_archive_is_refused(catalog: Catalog, document: ModelDocument, tmp_path: Path) -> None:
    content = (tmp_path / "model.tar.gz").read_bytes()
    (tmp_path / "model.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidInputError, match="a gzip-compressed tar archive"):
        catalog.register(document)


def test_link_is_refused_as_model_file(catalog: Catalog, document: ModelDocument, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("model.joblib")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(InvalidInputError, match=r"artifact.*member 'model\.joblib' is a symbolic link"):
        catalog.register(document)


def test_a_disabled_model_stays_disabled_when_a_version_is_registered(
    catalog: Catalog, document: ModelDocument
) -> None:
    catalog.register(document)
    assert catalog.set_enabled("churn", False).enabled is False
    again = catalog.register(replace(document, tags=None))
    assert again.model.enabled is False
    assert again.model.tags == {"team": "ads"}
    assert catalog.set_enabled("churn", True).current_version == "2"


def test_model_that_does_not_exist_is_named(catalog: Catalog) -> None:
    with pytest.raises(CommandError, match="There is no model 'nobody'"):
        catalog.set_enabled("nobody", False)
    with pytest.raises(CommandError, match="There is no model 'nobody'"):
        catalog.show("nobody")
    assert catalog.models() == []


def test_unknown_version_is_named_with_the_existing_ones(catalog: Catalog, document: ModelDocument) -> None:
    catalog.register(document)
    with pytest.raises(CommandError, match=r"no version 8\. It has: 1"):
        catalog.show("churn", "8")


def test_registration_keeps_a_concurrent_change(
    catalog: Catalog, document: ModelDocument, connection: Connection, deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    catalog.register(document)
    read = CatalogTable.read_with_deleted
    others = [Catalog(connection, deployment)]

    def read_then_disable(self: CatalogTable, model_id: str) -> object:
        answer = read(self, model_id)
        while others:
            others.pop().set_enabled(model_id, False)
        return answer

    monkeypatch.setattr(CatalogTable, "read_with_deleted", read_then_disable)
    done = catalog.register(document)
    assert done.version.spec.version == "2"
    assert done.model.enabled is False


def test_only_a_large_artifact_waits_until_s3_asks_for_it(
    catalog: Catalog, document: ModelDocument, connection: Connection
) -> None:
    expected: list[str | None] = []
    catalog.s3.meta.events.register(
        "request-created.s3.PutObject", lambda request, **_: expected.append(request.headers.get("Expect"))
    )
    catalog.register(document)
    archive = make_archive(Path(document.artifact), {"model.joblib": random.Random(1).randbytes(2 << 20)})
    catalog.register(replace(document, artifact=str(archive)))
    assert expected == [None, "100-continue"]


def stored_versions(connection: Connection) -> list[str]:
    found = connection.client("s3").list_object_versions(Bucket="some-models").get("Versions", [])
    return [version["Key"] for version in found]


def test_refused_write_leaves_no_artifact(
    catalog: Catalog, document: ModelDocument, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = ClientError(
        {"Error": {"Code": "AccessDeniedException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "TransactWriteItems"
    )
    with monkeypatch.context() as patched:
        patched.setattr(CatalogTable, "write", Mock(side_effect=refused))
        with pytest.raises(ClientError):
            catalog.register(document)
    assert stored_versions(connection) == []
    with monkeypatch.context() as patched:
        patched.setattr(CatalogTable, "write", Mock(side_effect=VersionTakenError))
        with pytest.raises(CommandError, match="Another command is registering"):
            catalog.register(document)
    assert stored_versions(connection) == []


def test_artifact_stays_when_the_write_may_have_succeeded(
    catalog: Catalog, document: ModelDocument, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = CatalogTable.write

    def lose_the_answer(self: CatalogTable, *actions: Any) -> None:
        write(self, *actions)
        raise ConnectionClosedError(endpoint_url="https://dynamodb")

    with monkeypatch.context() as patched:
        patched.setattr(CatalogTable, "write", lose_the_answer)
        with pytest.raises(ConnectionClosedError):
            catalog.register(document)
    assert stored_versions(connection) == ["churn/1/model.tar.gz"]
    assert catalog.show("churn")[0] is not None


def test_one_of_two_equal_registrations_keeps_its_artifact(
    catalog: Catalog, document: ModelDocument, connection: Connection, deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    write = CatalogTable.write
    other = [Catalog(connection, deployment)]
    named = replace(document, version="v1")

    def other_first(self: CatalogTable, *actions: Any) -> None:
        while other:
            other.pop().register(named, registered_by="other")
        write(self, *actions)

    monkeypatch.setattr(CatalogTable, "write", other_first)
    with pytest.raises(CommandError, match="already has a version v1"):
        catalog.register(named, registered_by="me")
    [version] = catalog.show("churn")[1]
    assert version.registered_by == "other"
    with catalog.artifact(version) as path:
        assert path.read_bytes() == Path(document.artifact).read_bytes()
    assert len(stored_versions(connection)) == 1


def test_too_large_record_is_refused_before_any_upload(
    catalog: Catalog, document: ModelDocument, connection: Connection
) -> None:
    catalog.register(replace(document, tags={f"tag-{number}": "x" * 4_000 for number in range(95)}))
    # The model's tags become those of the version, whose own columns have another 60 KB.
    wide = tuple(Feature(hashlib.sha256(str(number).encode()).hexdigest(), "double") for number in range(1_500))
    with pytest.raises(InvalidInputError, match=r"size of the record: got '4\d\d,\d\d\d bytes'.*\(tags takes"):
        catalog.register(replace(document, tags=None, features=wide))
    assert len(stored_versions(connection)) == 1


def test_wide_model_is_registered_and_read_again(catalog: Catalog, document: ModelDocument) -> None:
    features = tuple(
        Feature(f"feature_{number:032d}", ("double", "string")[number % 7 == 0], number % 3 > 0)
        for number in range(20_000)
    )
    done = catalog.register(replace(document, features=features))
    [(_, version)] = catalog.models()
    assert version == done.version
    assert version.spec.features == features


def test_columns_that_do_not_fit_compressed_are_refused_with_their_size(
    catalog: Catalog, document: ModelDocument
) -> None:
    names = (hashlib.sha256(str(number).encode()).hexdigest() for number in range(20_000))
    with pytest.raises(InvalidInputError) as refused:
        catalog.register(replace(document, features=tuple(Feature(name, "double") for name in names)))
    assert "at most 409,600 bytes, DynamoDB's limit for a record (features takes" in str(refused.value)
    assert "of them, compressed)" in str(refused.value)
