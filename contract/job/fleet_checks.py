"""Checks of a fleet: its models must agree, and its routes must be unambiguous."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from operator import attrgetter

from contract.catalog.fleets import FleetRecord
from contract.catalog.image_variants import image_of
from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import ModelVersion
from contract.catalog.routes import fallback_of
from contract.codec import to_value
from contract.dataset.input_options import InputOptions
from contract.job.fleet import AGREED_FIELDS, MODEL_ID_COLUMN, MODEL_VERSION_COLUMN, FleetSpec, fleet_model
from contract.json_text import dump_json
from contract.problems import InvalidInputError, Problem

MAX_SPEC_BYTES = 100_000_000
"""Largest sum of the specs and routes of a fleet's models, in bytes of JSON. The job's spec has all of them,
and what reads it takes at most 128 MiB."""
_INT64 = range(-(2**63), 2**63)
_ADDED = frozenset({MODEL_ID_COLUMN, MODEL_VERSION_COLUMN})
_WHOLE_NUMBERS = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"})


def fleet_spec(record: FleetRecord, members: Sequence[ModelVersion]) -> tuple[FleetSpec | None, list[Problem]]:
    """Return the spec of a fleet of these models, or the problems with which its job would fail.

    `members` are the current versions of the enabled models, by id.
    """
    if not members:
        remedy = f"Register models with `--fleet {record.fleet_id} --route …`, or enable one."
        return None, [Problem(_name(record), "no enabled models", "at least one", remedy)]
    spec_bytes = _spec_bytes(members)
    if spec_bytes > MAX_SPEC_BYTES:
        found = f"{len(members):,} models with specs and routes of about {spec_bytes:,} bytes"
        remedy = "Make two fleets, or use fewer features."
        return None, [Problem(_name(record), found, f"at most {MAX_SPEC_BYTES:,} bytes in a job's spec", remedy)]
    routes, problems = _routes(record, members)
    problems += _check_agreement(record, members)
    if problems:
        return None, problems
    fleet = FleetSpec(record.fleet_id, record.route_by, routes, record.unmatched, record.route_type)
    problems = _check_columns(record, fleet, members)
    return (None if problems else fleet), problems


def _spec_bytes(members: Sequence[ModelVersion]) -> int:
    """Return about how much of a job's spec a fleet takes."""
    # The models agree in their features, which are most of a spec.
    specs = len(dump_json(to_value(members[0].spec))) * len(members)
    return specs + sum(len(dump_json([member.spec.model_id, route])) for member in members for route in member.route)


def _name(record: FleetRecord) -> str:
    return f"fleet {record.fleet_id!r}"


def _routes(record: FleetRecord, members: Sequence[ModelVersion]) -> tuple[dict[str, str], list[Problem]]:
    """Return the id of the model for each route."""
    routes: dict[str, str] = {}
    problems: list[Problem] = []
    fallback = fallback_of(record.unmatched)
    if fallback and fallback not in {member.spec.model_id for member in members}:
        remedy = f"Register or enable it with `--fleet {record.fleet_id}`, or set another `--unmatched`."
        problems.append(Problem(f"{_name(record)}: unmatched", fallback, "an enabled model of the fleet", remedy))
    for member in members:
        model_id = member.spec.model_id
        field = f"model {model_id!r}: route"
        if not member.route and model_id != fallback:
            expected = f"at least one value of {record.route_by!r}, because the model is of fleet {record.fleet_id!r}"
            problems.append(Problem(field, [], expected, "Register a version with `--route`, or disable the model."))
        if record.route_type == "int64" and (wrong := [route for route in member.route if not _is_int64(route)]):
            expected = f"whole numbers in decimal digits, as route_type of fleet {record.fleet_id!r} says"
            problems.append(Problem(field, wrong, expected, "Register a version with other routes."))
        for route in member.route:
            if routes.setdefault(route, model_id) != model_id:
                expected = f"a route of one model; model {routes[route]!r} of fleet {record.fleet_id!r} has it too"
                problems.append(Problem(field, route, expected, "Register a version of one of them without it."))
    if not routes and not problems:
        remedy = f"Register models with `--fleet {record.fleet_id} --route …`."
        problems.append(Problem(_name(record), "no routes", "a model with a route beside the fallback", remedy))
    return routes, problems


def _is_int64(text: str) -> bool:
    try:
        return str(int(text)) == text and int(text) in _INT64
    except ValueError:
        return False


def _check_agreement(record: FleetRecord, members: Sequence[ModelVersion]) -> list[Problem]:
    """Return one problem for each other value of a field in which all models must agree."""
    specs = [member.spec for member in members]
    getters: dict[str, Callable[[ModelSpec], object]] = {name: attrgetter(name) for name in AGREED_FIELDS}
    if getters.pop("input", None):
        getters |= {f"input.{option.name}": attrgetter(f"input.{option.name}") for option in fields(InputOptions)}
    getters["image"] = lambda spec: image_of(spec.framework, spec.accelerator)
    return [problem for name, value_of in getters.items() for problem in _differences(record, specs, name, value_of)]


def _differences(
    record: FleetRecord, specs: Sequence[ModelSpec], name: str, value_of: Callable[[ModelSpec], object]
) -> list[Problem]:
    first = specs[0]
    agreed = value_of(first)
    others: list[tuple[object, list[str]]] = []
    for spec in specs:
        value = value_of(spec)
        if value == agreed:
            continue
        same = next((models for known, models in others if known == value), None)
        if same is None:
            others.append((value, same := []))
        same.append(spec.model_id)
    remedy = f"The models of fleet {record.fleet_id!r} must agree: register versions that do, or disable models."
    return [
        Problem(
            f"model {models[0]!r}{f' and {len(models) - 1:,} more' if len(models) > 1 else ''}: {name}",
            _shown(value, agreed),
            f"{_shown(agreed, value)!r} as for model {first.model_id!r}",
            remedy,
        )
        for value, models in others
    ]


def _shown(value: object, other: object) -> object:
    """Return a value as a message shows it: of a list only what another lacks, if it lacks anything."""
    if not isinstance(value, tuple) or not isinstance(other, tuple):
        return value
    named = list(map(_shown_item, value))
    different = [item for item in named if item not in set(map(_shown_item, other))]
    return different or named


def _shown_item(item: object) -> object:
    if isinstance(item, Feature):
        return f"{item.name}:{item.type}{'' if item.nullable else ':required'}"
    return item


def _check_columns(record: FleetRecord, fleet: FleetSpec, members: Sequence[ModelVersion]) -> list[Problem]:
    """Return the problems of the columns that the fleet reads and writes, as far as records tell."""
    first = members[0].spec
    problems = []
    declared = next((feature.type for feature in first.features if feature.name == record.route_by), record.route_type)
    if declared != record.route_type and not (record.route_type == "int64" and declared in _WHOLE_NUMBERS):
        expected = f"{declared!r} or a similar type, because {record.route_by!r} is a feature of the models"
        if declared != "string" and declared not in _WHOLE_NUMBERS:
            expected = "a route_by that is no feature of the models, or one with texts or whole numbers"
        remedy = f"Correct it with `fleetscore fleets set {record.fleet_id}`."
        problems.append(Problem(f"{_name(record)}: route_type", record.route_type, expected, remedy))
    names = {*(first.input.csv_columns or first.input_columns), *first.partition_columns}
    if not first.input.csv_header and first.input.format in ("", "csv") and record.route_by not in names:
        expected = f"all columns of the CSV objects in order, with {record.route_by!r}, because they have no header"
        remedy = "Register new versions. If the keys have the route, name it in partition_columns instead."
        field = f"model {first.model_id!r}: input.csv_columns"
        # Without the column, the fleet has no spec whose other columns could be checked.
        return [*problems, Problem(field, list(first.input.csv_columns), expected, remedy)]
    if record.route_by.lower() in _ADDED:
        expected = f"another name than {' and '.join(sorted(_ADDED))} in any case, which a fleet's output adds"
        remedy = "Rename the column or the folders of the dataset."
        problems.append(Problem(f"{_name(record)}: route_by", record.route_by, expected, remedy))
    named: dict[str, Sequence[str]] = {
        "features": [feature.name for feature in first.features],
        "key_columns": first.key_columns,
        "output_columns": first.output_columns,
        "partition_columns": first.partition_columns,
        "row_number_column": (first.row_number_column,),
    }
    for field, known in named.items():
        if taken := [name for name in known if name.lower() in _ADDED]:
            expected = f"no {' or '.join(sorted(_ADDED))}, which a fleet's output adds"
            problems.append(Problem(f"model {first.model_id!r}: {field}", taken, expected, "Choose another name."))
    try:
        found = fleet_model(fleet, [member.spec for member in members]).check_output_columns()
    except InvalidInputError as error:
        found = list(error.problems)
    return problems + [replace(problem, field=f"{_name(record)}: {problem.field}") for problem in found]
