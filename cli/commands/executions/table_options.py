"""The options of `fleetscore run` that choose a table's snapshot."""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import rich_click as click

from cli.command_line.options import count
from cli.command_line.output import Output
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.tables.snapshot import TableChoice, TableFormat
from cli.views.tables import counted, size_text
from contract.json_text import parse_json
from contract.names import check_object_key
from contract.problems import InvalidInputError, Problem

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class TableOptions:
    """The options as they were typed."""

    format: TableFormat | None
    version: int | None
    at: str | None
    folder: str | None
    metadata: str | None
    name: str | None = None
    partitions: tuple[str, ...] = ()

    def choice(self, request_json: str) -> TableChoice | None:
        """Return the snapshot that a valid request scores; None without --table.

        Raises:
            InvalidInputError: with every problem of the options.
        """
        others: dict[str, Any] = {
            "at": self.at,
            "folder": self.folder,
            "metadata": self.metadata,
            "name": self.name,
            "partition": ", ".join(self.partitions) or None,
            "version": self.version,
        }
        given = {f"--table-{name}": value for name, value in others.items() if value is not None}
        if self.format is None:
            problems = [Problem(name, value, "no value without --table") for name, value in given.items()]
            if problems:
                raise InvalidInputError("run", problems)
            return None
        request = parse_json(request_json, keep_surrogates=True)
        dataset = request.get("dataset")
        problems = []
        if dataset is None:
            remedy = 'Add it to --input, as in \'{"dataset": "events"}\'.'
            problems.append(Problem("dataset", None, "the dataset that is the table", remedy))
        if request.get("objects_manifest") is not None:
            expected = "none with --table, which writes one"
            problems.append(Problem("objects_manifest", request["objects_manifest"], expected))
        if self.version is not None and self.at is not None:
            problems.append(Problem("--table-at", self.at, "no time besides --table-version"))
        at = _in_utc(self.at or "")
        if self.at is not None and not at:
            problems.append(Problem("--table-at", self.at, "a time such as 2026-11-29T06:00:00Z"))
        if self.metadata is not None and self.format != "iceberg":
            problems.append(Problem("--table-metadata", self.metadata, "no address, because only Iceberg has one"))
        if self.metadata is not None and not self.metadata.startswith(("s3://", "s3a://", "s3n://")):
            problems.append(Problem("--table-metadata", self.metadata, "an address that begins with s3://"))
        folder = (self.folder or "").strip("/")
        problems += check_object_key("--table-folder", folder) if folder else []
        problems += self._glue_problems(given)
        if problems:
            raise InvalidInputError("run", problems)
        return TableChoice(
            self.format,
            dataset,
            f"{folder}/" if folder else "",
            self.version,
            at,
            self.metadata or "",
            self.name or "",
            tuple((name, value) for name, _, value in (text.partition("=") for text in self.partitions)),
        )

    def _glue_problems(self, given: Mapping[str, Any]) -> list[Problem]:
        """Return the problems of the options that only tables of the Glue Data Catalog have."""
        own = {"--table-name", "--table-partition"}
        if self.format != "glue":
            return [
                Problem(name, given[name], "no value, because only Glue tables have one")
                for name in sorted(own & given.keys())
            ]
        problems = [
            Problem(name, value, "no value, because the catalog decides it")
            for name, value in given.items()
            if name not in own | {"--table-metadata"}
        ]
        database, _, table = (self.name or "").partition(".")
        if not database or not table or "." in table:
            problems.append(Problem("--table-name", self.name, "a database and a table, such as sales.orders"))
        problems += [
            Problem("--table-partition", text, "a partition column and its value, such as day=2026-11-29")
            for text in self.partitions
            if not text.partition("=")[0] or "=" not in text
        ]
        return problems


def table_options(handler: F) -> F:
    """Add the options of a table's snapshot, which the handler gets as one argument `table`."""

    @functools.wraps(handler)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        names = ("format", "version", "at", "folder", "metadata", "name", "partition")
        options = TableOptions(*(named.pop(f"table_{name}") for name in names))
        return handler(*arguments, table=options, **named)

    decorated: Any = wrapped
    for option in reversed(
        (
            click.option(
                "--table", "table_format", type=click.Choice(["delta", "iceberg", "glue"]),
                metavar="delta|iceberg|glue",
                help="Score the newest snapshot of the Delta Lake or Iceberg table that the request's dataset is, or "
                "the objects that a table of the Glue Data Catalog has in it.",
            ),
            click.option(
                "--table-version", type=count, metavar="N",
                help="Version of the Delta Lake table, or id of the Iceberg snapshot, in place of the newest.",
            ),
            click.option("--table-at", metavar="TIME", help="Time of the snapshot, in place of the newest."),
            click.option("--table-folder", metavar="FOLDER", help="Folder of the table in the dataset."),
            click.option(
                "--table-metadata", metavar="URI",
                help="The Iceberg table's current metadata file, as its catalog names it.",
            ),
            click.option("--table-name", metavar="DATABASE.TABLE", help="The table in the Glue Data Catalog."),
            click.option(
                "--table-partition", multiple=True, metavar="COLUMN=VALUE",
                help="Only the Glue table's partitions with this value. Repeat it for other columns.",
            ),
        )
    ):  # fmt: skip
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def with_snapshot(
    request_json: str, choice: TableChoice, connection: Connection, deployment: Deployment, output: Output
) -> str:
    """Write the snapshot's manifest, and return the request with it.

    Raises:
        CommandError: when the snapshot cannot be scored by its files.
    """
    # Imported here, because other requests need no table.
    from cli.tables.manifest import write_snapshot  # noqa: PLC0415

    key, manifest = write_snapshot(connection, deployment, choice)
    size = size_text(sum(item.size for item in manifest.objects))
    output.notice(f"{counted(len(manifest.objects), 'file')}, {size}: {manifest.table}")
    return json.dumps({**parse_json(request_json, keep_surrogates=True), "objects_manifest": key})


def _in_utc(text: str) -> str:
    """Return a time with its zone, by default UTC; empty if the text is not a time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).isoformat()
