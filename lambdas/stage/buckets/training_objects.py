"""The objects of the training workflow: specs, recipes, manifests, scripts, trained artifacts."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from botocore.exceptions import ClientError

from contract import codec, container_paths, layout, training_layout
from contract.archives import MAX_MEMBERS, read_files
from contract.problems import InvalidInputError
from contract.tar_members import ArchiveError
from contract.training.recipes import ModelRecipe, TrainingCode
from contract.training.training_spec import TrainingReport, TrainingSpec
from lambdas.errors import ArtifactMissingError, TrainedArtifactError
from lambdas.stage.buckets.buckets import Buckets, compact_json
from lambdas.stage.buckets.manifests import input_manifest

MAX_REPORT_BYTES = 1_000_000
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class TrainedArtifact:
    """A model.tar.gz as a training job wrote it."""

    key: str
    etag: str
    sha256: str
    bytes: int
    files: Mapping[str, int]
    """Sizes in bytes of its regular files, by path."""
    report: TrainingReport


class TrainingObjects(Buckets):
    """Reads and writes what the training workflow has in the buckets."""

    def add_training(self, spec: TrainingSpec, recipe: ModelRecipe) -> None:
        """Write the spec of a training job, a copy of its recipe, and the manifests of its objects.

        Raises:
            PlanChangedError: when an earlier call wrote different content.
        """
        execution_id, job_id = spec.execution_id, spec.job_id
        self._put_once(training_layout.training_job_spec_key(execution_id, job_id), compact_json(codec.to_json(spec)))
        self._put_once(training_layout.recipe_copy_key(execution_id, job_id), compact_json(codec.to_json(recipe)))
        channels = {
            container_paths.TRAIN_CHANNEL: (recipe.training_dataset, spec.objects),
            container_paths.VALIDATION_CHANNEL: (recipe.validation_dataset or "", spec.validation_objects),
        }
        for channel, (dataset, objects) in channels.items():
            if objects:
                key = training_layout.training_manifest_key(execution_id, job_id, channel)
                prefix = layout.dataset_prefix(dataset)
                self._put_once(
                    key, compact_json(input_manifest(self.datasets_bucket, [prefix + item.key for item in objects]))
                )

    def training_spec(self, execution_id: str, job_id: str) -> TrainingSpec:
        key = training_layout.training_job_spec_key(execution_id, job_id)
        return codec.loads(TrainingSpec, self._get(key), subject=layout.s3_uri(self.results_bucket, key))

    def recipe_copy(self, execution_id: str, job_id: str) -> ModelRecipe:
        """Return the recipe as the plan read it."""
        key = training_layout.recipe_copy_key(execution_id, job_id)
        return codec.loads(ModelRecipe, self._get(key), subject=layout.s3_uri(self.results_bucket, key))

    def training_code(self, model_id: str, code: TrainingCode) -> bytes | None:
        """Return the archive of a training script; None when there is none that can be read.

        The caller compares its digest.
        """
        key = training_layout.code_key(model_id, code.sha256)
        if not self._exists(self.models_bucket, key):
            return None
        try:
            answer = self._s3.get_object(Bucket=self.models_bucket, Key=key)
        except ClientError as error:
            # Its storage class is an archive. Setting the recipe again writes a new one.
            if error.response["Error"]["Code"] == "InvalidObjectState":
                return None
            raise
        # One byte more than expected is enough to detect a different archive.
        body: bytes = answer["Body"].read(code.bytes + 1)
        return body

    def add_training_code(self, execution_id: str, job_id: str, archive: bytes) -> None:
        """Write the archive to the job's own folder."""
        self._put_once(training_layout.job_code_key(execution_id, job_id), archive)

    def trained_artifact(self, execution_id: str, job_id: str, training_job_name: str) -> TrainedArtifact:
        """Read a trained artifact: digest, size, file names and report.

        Other files are not unpacked.

        Raises:
            ArtifactMissingError: when there is no artifact.
            TrainedArtifactError: when it is not an archive, or has no report of this release.
        """
        key = training_layout.trained_artifact_key(execution_id, job_id, training_job_name)
        uri = layout.s3_uri(self.results_bucket, key)
        if not self._exists(self.results_bucket, key):
            raise ArtifactMissingError(job_id, uri)
        answer = self._s3.get_object(Bucket=self.results_bucket, Key=key)
        stream = _Hashed(answer["Body"].iter_chunks(_CHUNK_BYTES))
        try:
            files, text = _read_archive(stream)
        except ArchiveError as error:
            raise TrainedArtifactError(job_id, [f"{uri} cannot be read as a gzipped tar archive ({error})"]) from error
        stream.drain()
        if text is None:
            why = f"{uri} does not contain {container_paths.TRAINING_REPORT_NAME} of at most {MAX_REPORT_BYTES:,} bytes"
            raise TrainedArtifactError(job_id, [why])
        try:
            report = codec.loads(TrainingReport, text, subject=f"{uri}: {container_paths.TRAINING_REPORT_NAME}")
        except InvalidInputError as error:
            raise TrainedArtifactError(job_id, [str(error)]) from error
        return TrainedArtifact(key, answer["ETag"], stream.digest.hexdigest(), stream.size, files, report)

    def copy_artifact(self, artifact: TrainedArtifact, model_id: str, version: str) -> None:
        """Copy the artifact with the ETag that was read to the version's key.

        S3 copies it, in parts if it is large.
        """
        self._s3.copy(
            {"Bucket": self.results_bucket, "Key": artifact.key},
            self.models_bucket,
            layout.artifact_key(model_id, version),
            ExtraArgs={"CopySourceIfMatch": artifact.etag},
        )


class _Hashed:
    """A forward-only file over a stream that hashes and counts the bytes that are read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = b""
        self._position = 0
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none only at the end."""
        if self._position == len(self._chunk):
            self._chunk, self._position = next(self._chunks, b""), 0
            self.digest.update(self._chunk)
            self.size += len(self._chunk)
        start, self._position = self._position, min(self._position + size, len(self._chunk))
        return self._chunk[start : self._position]

    def drain(self) -> None:
        while self.read(_CHUNK_BYTES):
            pass


def _read_archive(stream: _Hashed) -> tuple[dict[str, int], bytes | None]:
    """Return the sizes of the regular files, by path, and the report's text if there is one.

    Raises ArchiveError.
    """
    files: dict[str, int] = {}
    text: bytes | None = None
    for member in read_files(stream, max_members=MAX_MEMBERS):
        files[member.name] = member.size
        if member.name == container_paths.TRAINING_REPORT_NAME and member.size <= MAX_REPORT_BYTES:
            text = member.content.read(member.size)
    return files, text
