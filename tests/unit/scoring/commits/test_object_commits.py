from contextlib import closing
from pathlib import Path

import pytest

from contract.catalog.model_fields import Feature
from contract.container_paths import ContainerPaths
from contract.job.ledger import read_segment
from contract.job.scoring_spec import PinnedObject
from scoring.commits.object_commits import ObjectCommits
from scoring.protocol import (
    ObjectDone,
    ObjectWritten,
    ScoreObject,
    WorkerSetup,
    WrittenFile,
    WrittenOutput,
    predictions_file,
)
from scoring.separation.file_modes import delete_tree
from tests.unit.scoring.support.model_specs import any_spec

MODELS = tuple(any_spec(Feature("x", "double"), model_id=model_id) for model_id in ("a", "b"))
PINNED = PinnedObject("x.parquet", 1, "etag")


@pytest.fixture
def paths(tmp_path: Path) -> ContainerPaths:
    paths = ContainerPaths(tmp_path)
    for folder in (paths.predictions, paths.quarantine, paths.ledger):
        folder.mkdir(parents=True)
    return paths


def commit(paths: ContainerPaths, notes: tuple[str, ...] = ()) -> ObjectDone:
    """Commit an object as a worker would have written it for two models, and return how it ended."""
    worker, staging = paths.root / "worker", paths.root / "committing"
    (worker / "0").mkdir(parents=True)
    for model in MODELS:
        (worker / "0" / predictions_file(model)).write_bytes(b"output")
    outputs = tuple(
        WrittenOutput(model.model_id, 1, 1, 0, WrittenFile(6, "AAAAAAAAAAA="), notes=notes) for model in MODELS
    )
    with closing(
        ObjectCommits(WorkerSetup("e", "j", 10, "", MODELS, ("", ""), "", ""), paths, staging, None)
    ) as commits:
        commits.start(ScoreObject(PINNED, 1), ObjectWritten(PINNED.key, "0", 1, 0.1, outputs), worker)
        [(done, _)] = commits.ended()
    delete_tree(staging)
    delete_tree(worker)
    return done


def test_no_commit_exists_without_its_outputs(paths: ContainerPaths) -> None:
    """Not even if the output that cannot be moved into place belongs to another model."""
    blocked = paths.predictions / "model_id=b"
    blocked.write_text("a file where a folder should be")
    assert "its output cannot be written" in commit(paths).failures[0].text
    assert list(paths.ledger.iterdir()) == []

    blocked.unlink()
    assert commit(paths).failures == ()
    [segment] = [read_segment(path.name, path.read_bytes()) for path in paths.ledger.iterdir()]
    outputs = [paths.predictions / output.key for one in segment.commits() for output in one.outputs]
    assert [path.read_bytes() for path in outputs] == [b"output"] * 2


def test_an_object_whose_notes_are_too_long_leaves_no_output(paths: ContainerPaths) -> None:
    done = commit(paths, notes=tuple(f"{number:02}{chr(0x4E00) * 3_998}" for number in range(100)))
    assert "its notes are too long for the ledger" in done.failures[0].text
    assert list(paths.predictions.rglob("*.parquet")) == list(paths.ledger.iterdir()) == []
