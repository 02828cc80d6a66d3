"""A short run of the random test. `make soak` runs it for as long as wanted."""

from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from tests.e2e.reliability.fleet_machine import FleetMachine, machine_settings
from tests.e2e.stage import Stage

SEED = 154
"""A crash, a lost instance, no capacity and a lost event, but no storm: a function then waits minutes."""


def test_every_promise_is_kept_whatever_happens(stage: Stage) -> None:
    FleetMachine.begin(stage, "chaos")
    machine = seed(SEED)(FleetMachine)
    run_state_machine_as_test(machine, settings=machine_settings(1, 2, shrink=False))
    assert FleetMachine.counts.total() > 5, FleetMachine.counts
