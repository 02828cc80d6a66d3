"""Which models of a fleet the keys of objects need, if the route is a part of the key."""

import re
from collections.abc import Iterable, Sequence

from contract.catalog.model_spec import ModelSpec
from contract.dataset.partitions import partition_values
from contract.job.fleet import FleetSpec

_PLAIN_WHOLE = re.compile("[+-]?[0-9]{1,20}")


def needed_members(fleet: FleetSpec, models: Sequence[ModelSpec], keys: Iterable[str]) -> list[ModelSpec]:
    """Return the models that score objects with these keys, and the first one, which tells the columns.

    These are all models, unless the route is a part of the key.
    """
    if not fleet.in_key:
        return list(models)
    routes = {_route(fleet, key) for key in keys}
    if None in routes:
        return list(models)
    named = {models[0].model_id, *(fleet.routes.get(route or "", fleet.fallback) for route in routes)}
    return [spec for spec in models if spec.model_id in named]


def _route(fleet: FleetSpec, key: str) -> str | None:
    """Return the route of an object: empty if it has none, and None if only its reader can tell.

    >>> fleet = FleetSpec("sales", "store", {"7": "sales-7"}, route_type="int64", in_key=True)
    >>> [_route(fleet, f"store={value}/a") for value in ("7", "007", "7.0", "__HIVE_DEFAULT_PARTITION__")]
    ['7', '7', None, '']
    """
    try:
        value = partition_values(key, [fleet.route_by])[fleet.route_by] or ""
    # The object fails when it is read.
    except ValueError:
        return ""
    if fleet.route_type != "int64" or not value:
        return value
    # A reader takes other forms too, such as 7.0 and 7e0, and refuses others.
    return str(int(value)) if _PLAIN_WHOLE.fullmatch(value) else None
