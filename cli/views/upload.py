"""Shows the progress and the result of an upload into a dataset."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from cli.command_line.output import Output
from cli.documents.dataset_files import DatasetFile, DatasetFiles
from cli.failures import CommandError
from cli.stage.dataset_upload import Comparison, UploadStart
from cli.views.executions.progress import SECONDS_BETWEEN_LINES
from cli.views.tables import counted, one_line, size_text
from contract.triggers.uploads import MARKER_NAME, marks_data

_SHOWN_NAMES = 5


@dataclass(frozen=True)
class UploadResult:
    """An upload that has ended."""

    dataset: str
    address: str
    found: DatasetFiles
    compared: Comparison
    start: UploadStart
    marker: str | None
    """Key of the marker that was written, relative to the dataset."""


class UploadProgress:
    """Shows the bytes that S3 has, on standard error: a bar on a terminal, else a line every 30 seconds."""

    def __init__(self, files: Sequence[DatasetFile], output: Output) -> None:
        self._output = output
        self._total = sum(file.size for file in files)
        self._bytes = 0
        self._lock = threading.Lock()
        self._shown_at = time.monotonic()
        console = Console(stderr=True)
        columns = (TextColumn("Uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bar = Progress(*columns, console=console, transient=True) if console.is_terminal else None
        self._task = self._bar.add_task("", total=self._total) if self._bar is not None else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def sent(self, size: int) -> None:
        """Count bytes that S3 has. Threads may call it."""
        with self._lock:
            self._bytes += size
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, completed=self._bytes)
            elif time.monotonic() - self._shown_at >= SECONDS_BETWEEN_LINES:
                self._shown_at = time.monotonic()
                self._output.notice(f"Uploaded {size_text(self._bytes)} of {size_text(self._total)} ...")


def refuse_ready(start: UploadStart, dataset: str, folder: str) -> None:
    """Refuse --ready where no execution would follow from it.

    Raises:
        CommandError: when the dataset has no rule in mode `marker`, or the folder is hidden.
    """
    if not marks_data(f"{folder.strip('/')}/{MARKER_NAME}".lstrip("/")):
        raise CommandError(
            f"--ready: got --to {folder}, expected a folder that executions read: no folder of it may begin with '_' "
            "or '.'. Leave out --ready, or choose another folder."
        )
    if not start.known or (start.rule is not None and start.rule.mode == "marker"):
        return
    why = "it has no rule" if start.rule is None else "its rule has the mode 'window', which starts without a marker"
    raise CommandError(
        f"--ready: dataset {dataset} would not be scored by a marker, because {why} in the setting `uploads`. "
        "Leave out --ready, or deploy a rule with the mode 'marker'."
    )


def difference_message(compared: Comparison, address: str) -> str:
    """Return why nothing was uploaded."""
    number = len(compared.different)
    verb = "exists" if number == 1 else "exist"
    return (
        f"{counted(number, 'object')} {verb} below {address} with other content, or with content that cannot be "
        f"compared: {_names([file.key for file in compared.different])}. Nothing was uploaded. "
        "Add --overwrite to replace them, or choose another folder with --to."
    )


def upload_lines(result: UploadResult) -> list[str]:
    """Return what `fleetscore upload` shows."""
    sent = [*result.compared.new, *result.compared.different]
    size = size_text(sum(file.size for file in sent))
    lines = [f"Uploaded {counted(len(sent), 'object')}, {size}, to {result.address}"]
    if result.compared.different:
        lines.append(f"{counted(len(result.compared.different), 'object')} of them replaced an earlier one.")
    if result.compared.equal:
        verb = "was" if len(result.compared.equal) == 1 else "were"
        lines.append(f"{counted(len(result.compared.equal), 'object')} {verb} there already with the same content.")
    if result.found.hidden:
        lines.append(f"Left out, because their names begin with a dot: {_names(result.found.hidden)}.")
    if result.found.not_data:
        lines.append(f"Uploaded, but executions skip them by their names: {_names(result.found.not_data)}.")
    return [*lines, _start_line(result, bool(sent))]


def upload_json(result: UploadResult) -> dict[str, Any]:
    compared, rule = result.compared, result.start.rule
    return {
        "dataset": result.dataset,
        "address": result.address,
        "uploaded": [file.key for file in compared.new],
        "replaced": [file.key for file in compared.different],
        "unchanged": [file.key for file in compared.equal],
        "left_out": list(result.found.hidden),
        "not_data": result.found.not_data,
        "bytes": sum(file.size for file in (*compared.new, *compared.different)),
        "marker": result.marker,
        "rule": ("none" if rule is None else rule.mode) if result.start.known else "unknown",
        "window_seconds": None if rule is None else rule.window_seconds,
    }


def _start_line(result: UploadResult, any_sent: bool) -> str:
    """Return whether an execution starts, and when."""
    dataset, rule = result.dataset, result.start.rule
    by_hand = "Score the dataset with `fleetscore run`."
    if not result.start.known:
        return f"Whether an execution starts depends on the setting `uploads`. If none does: {by_hand}"
    if rule is None:
        return f"No execution starts by itself: the setting `uploads` has no rule for {dataset}. {by_hand}"
    if rule.mode == "window":
        if not any_sent:
            return "No execution starts, because nothing was uploaded."
        return f"An execution starts within about {rule.window_seconds:,} seconds and scores what was uploaded in them."
    if result.marker is None:
        return f"No execution starts yet: {dataset} waits for its marker. Write it with --ready."
    folder = result.marker.removesuffix(MARKER_NAME)
    return f"The marker {result.marker} is written: an execution starts and scores everything below {dataset}/{folder}"


def _names(names: Sequence[str]) -> str:
    shown = one_line(", ".join(names[:_SHOWN_NAMES]))
    return shown if len(names) <= _SHOWN_NAMES else f"{shown} and {len(names) - _SHOWN_NAMES:,} more"
