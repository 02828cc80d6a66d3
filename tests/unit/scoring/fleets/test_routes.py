"""The member of each row, by its route."""

import subprocess
import sys

import pyarrow as pa
import pytest

from contract.job.fleet import FleetSpec
from scoring.fleets.routes import UNMATCHED, Routes

PLACES = {"a": 0, "b": 1, "other": 2}


@pytest.mark.parametrize("unmatched", ["quarantine", "model:other"])
def test_texts_are_compared_as_they_are(unmatched: str) -> None:
    routes = Routes(FleetSpec("f", "r", {"ü": "a", "": "b"}, unmatched), "string", PLACES)
    rest = 2 if unmatched.startswith("model") else UNMATCHED
    assert routes.find(pa.array(["", "ü", "u", None, "ü "])).tolist() == [1, 0, rest, rest, rest]


@pytest.mark.parametrize("kind", ["int8", "uint8", "int64", "uint64"])
def test_numbers_that_the_column_cannot_hold_match_no_row(kind: str) -> None:
    fleet = FleetSpec("f", "r", {"7": "a", "-1": "b", "99999999999999999999": "b"}, route_type="int64")
    values = [7, 8, None] if kind.startswith("u") else [7, -1, None]
    found = Routes(fleet, kind, PLACES).find(pa.array(values, kind)).tolist()
    assert found == [0, UNMATCHED if kind.startswith("u") else 1, UNMATCHED]


def test_a_worker_routes_without_pandas() -> None:
    code = (
        "import sys, pyarrow as pa, numpy as np\n"
        "from contract.job.fleet import FleetSpec\n"
        "from scoring.fleets.fleet_model import FleetModel\n"
        "from scoring.fleets.routes import Routes\n"
        "for kind in ('string', 'int64'):\n"
        "    Routes(FleetSpec('f', 'r', {'7': 'a'}), kind, {'a': 0})\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
