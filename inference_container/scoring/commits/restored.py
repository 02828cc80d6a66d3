"""Finds what this job had committed before an interruption, in the files that SageMaker has restored.

SageMaker uploads files in no particular order. So a commit counts only if its outputs were restored as
it describes them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contract.catalog.model_spec import ModelSpec
from contract.container_paths import ContainerPaths
from contract.job.ledger import MAX_SEGMENT_BYTES, Commit, OutputFile, read_segment
from contract.job.scoring_spec import JobSpec, PinnedObject
from contract.layout import (
    QUARANTINE_FORMAT,
    OutputKind,
    commits_in_segment,
    is_shared_output,
    output_key,
    output_name,
)
from contract.problems import InvalidInputError
from scoring.errors import one_line
from scoring.files.digests import digest_of
from scoring.job_log.events import log_event


def restored_objects(
    paths: ContainerPaths, spec: JobSpec, objects: Sequence[PinnedObject], cores: int
) -> frozenset[str]:
    """Return the keys of the objects that every model has committed, with their outputs as committed.

    A damaged segment is ignored with a line in the log: its objects are scored again.
    """
    pinned = {item.key: item for item in objects}
    models = {model.model_id: model for model in spec.committing_models}
    found: dict[tuple[str, str], list[Commit]] = {}
    for commit in _commits(paths.ledger, spec, models):
        item = pinned.get(commit.object)
        if item is not None and commit.etag == item.etag:
            found.setdefault((commit.object, commit.model_id), []).append(commit)
    files = {
        _path(output, commit, paths, models[commit.model_id], spec): output
        for commits in found.values()
        for commit in commits
        for output in commit.outputs
    }
    digests = _digests([path for path in files if path is not None], cores)

    def counts(commit: Commit) -> bool:
        described = ((_path(each, commit, paths, models[commit.model_id], spec), each) for each in commit.outputs)
        return all(path is not None and digests[path] == (each.bytes, each.crc64nvme) for path, each in described)

    committed = {pair for pair, commits in found.items() if any(map(counts, commits))}
    return frozenset(key for key in pinned if all((key, model) in committed for model in models))


def _commits(folder: Path, spec: JobSpec, models: Mapping[str, ModelSpec]) -> Iterator[Commit]:
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if commits_in_segment(path.name) is None or path.stat().st_size > MAX_SEGMENT_BYTES:
            continue
        try:
            segment = read_segment(path.name, path.read_bytes())
            header = segment.header
            if (header.execution_id, header.job_id) != (spec.execution_id, spec.job_id):
                continue
            # All before the first is used, so that a segment counts as a whole or not at all.
            commits = list(segment.commits())
        except InvalidInputError as error:
            log_event("segment_ignored", segment=path.name, reason=one_line(error))
            continue
        same = {name for name, version in header.models.items() if name in models and models[name].version == version}
        yield from (commit for commit in commits if commit.model_id in same)


def _path(output: OutputFile, commit: Commit, paths: ContainerPaths, model: ModelSpec, spec: JobSpec) -> Path | None:
    """Return where the output of a commit is; None if the commit names another key than the job's own."""
    output_format = QUARANTINE_FORMAT if output.kind == "quarantine" else model.output_format
    name = output_name(commit.object, output_format)
    key = name if is_shared_output(output.kind, spec.output_layout) else output_key(model.model_id, name)
    folders: Mapping[OutputKind, Path] = {"predictions": paths.predictions, "quarantine": paths.quarantine}
    return folders[output.kind] / key if output.key == key else None


def _digests(files: Iterable[Path], cores: int) -> dict[Path, tuple[int, str]]:
    """Return size and checksum of each file; those of a file that is missing fit to no commit."""

    def read(path: Path) -> tuple[int, str]:
        return (path.stat().st_size, digest_of(path)) if path.is_file() else (-1, "")

    paths = list(files)
    with ThreadPoolExecutor(max(1, cores), thread_name_prefix="restored") as threads:
        return dict(zip(paths, threads.map(read, paths), strict=True))
