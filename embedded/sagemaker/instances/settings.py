"""Settings for properties of instances: what AWS does not document, start-up times and sizes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from cli.sandbox.isolation import Isolation, IsolationKind

Mounts = Literal["one", "per-path"]
ManifestLayout = Literal["relative", "full-key"]
Size = Literal["machine", "instance-type"]
_SMALLEST_BYTES = 1 << 20
_LONGEST_STARTUP_SECONDS = 86_400


@dataclass(frozen=True)
class InstanceSettings:
    """Mounts, disk sizes, input layout, start-up time and size of the instances of new jobs.

    Args:
        mounts: Whether `/opt/ml` is one mount, or each input and output path is a mount of its own.
            Files cannot be renamed across mounts.
        volume_bytes: Size of each instance's volume, which has the mounts; None means no limit.
        volume_bytes_per_gb: Bytes of each instance's volume per GB of VolumeSizeInGB in the request,
            so that a larger volume has more room; None means no limit.
        root_disk_bytes: Size of each instance's root disk, which has `/tmp`, `HOME` and, with
            mounts per path, the rest of `/opt/ml`; None means no limit.
        manifest_layout: Path of an object that a manifest names, below its input's folder: relative
            to the manifest's prefix, or the object's full key.
        startup_seconds: How long the start-up of each job appears to take, from its creation to its start.
        startup_waited: Part of the start-up, from 0 to 1, for which jobs really wait. The creation time
            that a job shows is earlier by the other part.
        size: Whether containers have the cores and the memory of this machine, or at most those of
            their instance type.
    """

    mounts: Mounts = "one"
    volume_bytes: int | None = None
    root_disk_bytes: int | None = None
    manifest_layout: ManifestLayout = "relative"
    volume_bytes_per_gb: int | None = None
    startup_seconds: float = 0.0
    startup_waited: float = 0.0
    size: Size = "machine"

    def __post_init__(self) -> None:
        problems = []
        if self.mounts not in get_args(Mounts):
            problems.append(f"mounts: got {self.mounts!r}, expected 'one' or 'per-path'")
        if self.manifest_layout not in get_args(ManifestLayout):
            problems.append(f"manifest_layout: got {self.manifest_layout!r}, expected 'relative' or 'full-key'")
        for name in ("volume_bytes", "root_disk_bytes"):
            value = getattr(self, name)
            if value is not None and value < _SMALLEST_BYTES:
                problems.append(f"{name}: {value:,} is too few, expected at least {_SMALLEST_BYTES:,}, or None")
        per_gb = self.volume_bytes_per_gb
        if per_gb is not None and per_gb < 1:
            problems.append(f"volume_bytes_per_gb: {per_gb:,} is too few, expected at least 1, or None")
        if per_gb is not None and self.volume_bytes is not None:
            problems.append("volume_bytes, volume_bytes_per_gb: got both, expected at most one of them")
        if not 0 <= self.startup_seconds <= _LONGEST_STARTUP_SECONDS:
            expected = f"0 to {_LONGEST_STARTUP_SECONDS:,} seconds"
            problems.append(f"startup_seconds: got {self.startup_seconds!r}, expected {expected}")
        if not 0 <= self.startup_waited <= 1:
            problems.append(f"startup_waited: got {self.startup_waited!r}, expected a part from 0 to 1")
        if self.size not in get_args(Size):
            problems.append(f"size: got {self.size!r}, expected 'machine' or 'instance-type'")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def waited_seconds(self) -> float:
        """Seconds for which a job really waits before its instances start."""
        return self.startup_seconds * self.startup_waited

    @property
    def shown_seconds(self) -> float:
        """Seconds by which a job shows an earlier creation time."""
        return self.startup_seconds - self.waited_seconds

    def volume_limit(self, volume_size_gb: int) -> int | None:
        """Return the size in bytes of a volume for which a request asks; None means no limit."""
        if self.volume_bytes_per_gb is None:
            return self.volume_bytes
        return max(_SMALLEST_BYTES, self.volume_bytes_per_gb * volume_size_gb)

    def check(self, isolation: Isolation) -> None:
        """Check that this machine's isolation of jobs supports the settings.

        Raises:
            ValueError: A setting is not supported; the message names it.
        """
        problems = []
        if self.mounts != "one" and not isolation.has_namespaces:
            problems.append(
                f"mounts: {self.mounts!r} needs mount namespaces, which this machine does not permit "
                f"({isolation.reason}): leave it at 'one'"
            )
        if self.size != "machine" and not isolation.has_namespaces:
            problems.append(
                f"size: {self.size!r} needs mount namespaces, which this machine does not permit "
                f"({isolation.reason}): leave it at 'machine'"
            )
        names = ("volume_bytes", "volume_bytes_per_gb", "root_disk_bytes")
        limits = [name for name in names if getattr(self, name) is not None]
        if limits and isolation.kind is not IsolationKind.ROOT:
            problems.append(
                f"{', '.join(limits)}: a size limit needs a file system of its own, which only root on Linux can "
                "mount: start the embedded AWS as root, or leave it out"
            )
        if problems:
            raise ValueError("; ".join(problems))


class InstanceSettingsFile:
    """The settings of one embedded AWS, shared by processes through a file. New jobs read it.

    Example:
        Run a job whose outputs are on separate mounts of a volume with 50 MB::

            with EmbeddedAws() as aws:
                aws.instances.set(InstanceSettings(mounts="per-path", volume_bytes=50 << 20))
                ...  # run the job
                aws.instances.set(InstanceSettings())
    """

    def __init__(self, root: Path, isolation: Isolation) -> None:
        """`root` is the folder of the SageMaker service, and `isolation` that of its jobs."""
        self._file = root / "instances.json"
        self._isolation = isolation

    def set(self, settings: InstanceSettings) -> None:
        """Replace the settings of all jobs that start from now on.

        Raises:
            ValueError: This machine does not support a setting; the message names it.
        """
        settings.check(self._isolation)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps(asdict(settings)), encoding="utf-8")
        written.replace(self._file)

    def read(self) -> InstanceSettings:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return InstanceSettings()
        known = {field.name for field in fields(InstanceSettings)}
        return InstanceSettings(**{name: value for name, value in found.items() if name in known})
