"""Comparison of the code's assumptions about SageMaker with the inspection job's report.

docs/why/unverified.md names the check of each assumption.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cli.doctor.findings import Finding, Report, names
from cli.doctor.job.inspection import CHANNEL, EMPTY_KEY, NESTED_KEY, ONE_OBJECT_CHANNELS, REPORT, Inspected
from cli.doctor.job.processing_inspection import MESSAGE, WITH_SLASH, WITHOUT_SLASH

_GIB = 1024**3
_CHANNEL_FOLDER = f"processing/input/{CHANNEL}/"
REPORT_IT = "Report it with the output of `fleetscore doctor --job --json`; executions may fail until it is fixed."
_CAPABILITIES = {
    "CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7,
}  # fmt: skip
WHOLE_CRC64NVME = "CRC64NVME, FULL_OBJECT"
_WORKER_USER = "65530"
_LEAST_SCRATCH = 5 * _GIB
"""Free space, in bytes, below which a scratch folder is likely too small for large jobs."""


def assumption_findings(inspected: Inspected, volume_size_gb: int) -> Iterator[Finding]:
    """Compare the job and its report with every assumption."""
    yield _completed(inspected)
    report = inspected.report
    if report is None:
        return
    where = Report("job.manifest", "where objects of a manifest lie below their channel")
    yield manifest_finding(where, inspected, _CHANNEL_FOLDER)
    yield _empty_object(report)
    yield _one_object(report)
    yield from _uploads(inspected)
    yield mounts_finding(Report("job.mounts", "mounts of the job's folders"), report)
    yield _unfinished_files(report)
    yield _space(report, volume_size_gb)
    yield separation_finding(Report("job.separation", "model code runs as another user"), report)
    yield _modes(report)
    yield _network(report)
    yield _devices(report)


def _completed(inspected: Inspected) -> Finding:
    report = Report("job.completed", inspected.name)
    description = inspected.description
    status = description["ProcessingJobStatus"]
    if status != "Completed":
        reason = description.get("FailureReason") or "no reason is given"
        return report.error(
            f"the job is {status}: {reason}", "Correct what the reason names, and run the command again."
        )
    if description.get("ExitMessage") != MESSAGE:
        found = f"the exit message is {description.get('ExitMessage')!r}, not {MESSAGE!r}"
        return report.error(f"{found}, so failures would have no reason", REPORT_IT)
    if inspected.report is None:
        return report.error("the job completed and wrote no output", REPORT_IT)
    return report.ok("the job completed, with its exit message and outputs")


def manifest_finding(result: Report, inspected: Inspected, channel_folder: str) -> Finding:
    """Find the manifest's objects below a channel, whose folder is given relative to /opt/ml."""
    below = _below_channel(inspected.report or {}, channel_folder)
    if NESTED_KEY in below:
        return result.ok(f"relative to the manifest's prefix: {NESTED_KEY}")
    full = f"{inspected.prefix}{NESTED_KEY}"
    if full in below:
        return result.ok(f"under their full key: {full}")
    return result.error(f"neither relative nor under their full key: {names(sorted(below)) or 'no file'}", REPORT_IT)


def _empty_object(report: Mapping[str, Any]) -> Finding:
    result = Report("job.empty", "an input object of 0 bytes")
    if any(path.endswith(EMPTY_KEY) for path in _below_channel(report, _CHANNEL_FOLDER)):
        return result.ok("it arrives as a file")
    return result.error("it does not arrive", "Remove objects of 0 bytes from datasets: a job with one would fail.")


def _one_object(report: Mapping[str, Any]) -> Finding:
    result = Report("job.spec", "files of channels whose address is the key of one object")
    missing = [
        f"input/{channel}/{name}"
        for channel, name in ONE_OBJECT_CHANNELS.items()
        if name not in _below_channel(report, f"processing/input/{channel}/")
    ]
    if missing:
        return result.error(f"{names(missing)} did not arrive", REPORT_IT)
    return result.ok("they arrive under the object's name")


def _uploads(inspected: Inspected) -> Iterator[Finding]:
    below = {key.removeprefix(inspected.outputs_prefix) for key in inspected.output_keys}
    written = {
        name: names(sorted(key for key in below if key.startswith(name))) or "nothing"
        for name in (WITH_SLASH, WITHOUT_SLASH)
    }
    result = Report("job.slash", "where outputs are uploaded to, by their address")
    if f"{WITHOUT_SLASH}/{REPORT}" in below:
        yield result.ok(f"below it: {written[WITHOUT_SLASH]}; if it ended with a slash: {written[WITH_SLASH]}")
    else:
        yield result.error(f"expected {WITHOUT_SLASH}/{REPORT}, found {written[WITHOUT_SLASH]}", REPORT_IT)
    result = Report("job.foreign", "objects below the outputs that the container did not write")
    foreign = sorted(key for key in below if not key.endswith(REPORT))
    if foreign:
        yield result.error(
            f"SageMaker wrote {names(foreign)}, which would fail the check of a job's outputs", REPORT_IT
        )
    else:
        yield result.ok("none")
    yield _checksum(inspected)


def _checksum(inspected: Inspected) -> Finding:
    result = Report("job.checksum", "the checksum that S3 has of an output")
    if inspected.checksum == WHOLE_CRC64NVME:
        return result.ok(inspected.checksum)
    return result.warning(
        f"{inspected.checksum or 'none'}, not {WHOLE_CRC64NVME}: only the sizes of outputs can be compared",
        f"Nothing has to be done for executions to work. {REPORT_IT}",
    )


def mounts_finding(result: Report, report: Mapping[str, Any]) -> Finding:
    """Report whether the outputs are separate mounts; the code works in both cases."""
    points = [mount["point"] for mount in _list(report, "mounts")]
    if not points:
        return result.warning(f"unknown: {report.get('mounts')}", REPORT_IT)
    outputs = _outputs(report)
    own = [name for name, output in outputs.items() if output["device"] != output["device_of_parent"]]
    kind = f"each of {names(own)} is a mount of its own" if own else "the outputs share one mount with their parent"
    return result.ok(f"{kind}; mounts: {names(sorted(points))}")


def _unfinished_files(report: Mapping[str, Any]) -> Finding:
    result = Report("job.unfinished", "files appear in output folders complete or not at all")
    ways = {
        name: [way for way in ("linked", "renamed") if output[way] is True] for name, output in _outputs(report).items()
    }
    if any(not possible for possible in ways.values()):
        lacking = [name for name, possible in ways.items() if not possible]
        return result.error(
            f"in {names(lacking)} neither a file without a name can be linked nor one renamed from next to the folder: "
            "SageMaker may upload half a file",
            REPORT_IT,
        )
    return result.ok("; ".join(f"{name}: {names(possible)}" for name, possible in ways.items()))


def _space(report: Mapping[str, Any], volume_size_gb: int) -> Finding:
    result = Report("job.space", f"disks, with a volume of {volume_size_gb} GB")
    places = {place: space for place, space in _mapping(report, "space").items() if space}
    outputs = [output["space"]["free"] for output in _outputs(report).values()]
    shown = names(
        f"{place} {space['free'] / _GIB:,.1f} of {space['total'] / _GIB:,.1f} GiB free"
        for place, space in places.items()
    )
    if outputs and max(outputs) < volume_size_gb * _GIB * 0.9:
        return result.warning(
            f"outputs have {max(outputs) / _GIB:,.1f} GiB, less than the volume; {shown}",
            "Choose a larger compute.volume_size_gb: the plan counts on the whole volume.",
        )
    free = max([*outputs, *(space["free"] for place, space in places.items() if place == "/tmp")], default=0)  # noqa: S108
    if free < _LEAST_SCRATCH:
        return result.warning(f"no place has 5 GiB for unfinished work; {shown}", "Choose a larger volume.")
    return result.ok(shown)


def separation_finding(result: Report, report: Mapping[str, Any]) -> Finding:
    """Report whether model code can run as an unprivileged user."""
    effective = int(str(_mapping(report, "status").get("CapEff", "0")), 16)
    lacking = [name for name, number in _CAPABILITIES.items() if not effective >> number & 1]
    user = _mapping(report, "user").get("uid")
    if user != 0:
        return result.warning(f"the container runs as user {user}, so model code runs as the same user", _TRUST)
    if report.get("other_user") != _WORKER_USER:
        return result.warning(f"no process of another user can start: {report.get('other_user')}", _TRUST)
    if lacking:
        return result.warning(f"root lacks {names(lacking)}, so model code runs as root", _TRUST)
    return result.ok("root may start processes of user 65530")


_TRUST = "Register only models that you trust: docs/why/trust-model.md says what model code could reach."


def _modes(report: Mapping[str, Any]) -> Finding:
    result = Report("job.modes", "owner and mode of the job's folders")
    folders = {
        entry["path"]: f"{entry['mode'][-4:]} {entry['uid']}:{entry['gid']}"
        for entry in _list(report, "files")
        if entry["is_folder"] and entry["path"].count("/") <= 2
    }
    if not folders:
        return result.warning(f"unknown: {report.get('files')}", REPORT_IT)
    return result.ok(names(f"{path} {mode}" for path, mode in sorted(folders.items())))


def _network(report: Mapping[str, Any]) -> Finding:
    result = Report("job.network", "network of an isolated job")
    found = sorted(set(map(str, _list(report, "network"))) - {"lo"})
    if found:
        return result.warning(
            f"the container sees the interfaces {names(found)}",
            "Check in the VPC's flow logs that they carry nothing: the job asks for network isolation.",
        )
    return result.ok("no interface besides the loopback")


def _devices(report: Mapping[str, Any]) -> Finding:
    result = Report("job.devices", "devices of accelerators")
    devices = _list(report, "devices")
    closed = [entry["path"] for entry in devices if not entry["is_folder"] and int(entry["mode"], 8) & 0o006 != 0o006]
    if closed:
        return result.warning(
            f"closed to model code's user: {names(closed)}", "Models would be scored on the CPU. " + REPORT_IT
        )
    return result.ok(names(entry["path"] for entry in devices) or "none on this instance type")


def _below_channel(report: Mapping[str, Any], channel_folder: str) -> set[str]:
    """Return the paths of the files below the channel of the manifest."""
    paths = [str(entry["path"]) for entry in _list(report, "files") if not entry["is_folder"]]
    return {path.removeprefix(channel_folder) for path in paths if path.startswith(channel_folder)}


def _outputs(report: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(report, "outputs")


def _list(report: Mapping[str, Any], name: str) -> Sequence[Any]:
    """Return a part of the report; empty when the container could not read it."""
    found = report.get(name)
    return found if isinstance(found, list) else []


def _mapping(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = report.get(name)
    return found if isinstance(found, dict) else {}
