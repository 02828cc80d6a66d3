"""What a job has measured while it ran, from which plans estimate."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FormatMeasurement:
    """Time that models of one format and about one size took together."""

    name: str
    """Format and class of sizes, such as `onnx/10KB`."""
    rows: int
    """Rows, in which each model counts a row."""
    seconds: float
    loads: int = 0
    """Number of models that were loaded, once per instance."""
    load_seconds: float = 0.0
    """Time that all these loads took together."""


@dataclass(frozen=True)
class JobMeasurements:
    """What a job that succeeded has measured; 0 and empty where nothing is known."""

    instance_type: str
    """Instance type of the attempt that completed the job."""
    startup_seconds: float = 0.0
    """Time from the creation of its SageMaker job until its instances ran."""
    download_bytes_per_second: float = 0.0
    """Rate at which its instance got objects and artifacts, or less: image and container start in the same time."""
    model_seconds: tuple[float, ...] = ()
    """Per model, in the order of `JobRecord.model_ids`: seconds that threads were busy with all rows of the
    job; 0 where it is unknown. All models of a job have the same rows."""
    formats: tuple[FormatMeasurement, ...] = ()
