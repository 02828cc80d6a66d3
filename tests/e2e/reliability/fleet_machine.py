"""The random test: anything happens to a small fleet, in any order, and every promise is kept."""

from collections import Counter
from typing import ClassVar

from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from embedded.faults import Fault
from tests.e2e.reliability.random_faults import FAULTS, SPOT_FAULTS, WEATHER
from tests.e2e.reliability.small_fleet import LAYOUTS, MODELS, Layout
from tests.e2e.reliability.world import World
from tests.e2e.stage import Stage

_keys = st.sampled_from(["0.parquet", "1.parquet", "2.parquet", "4.parquet"])
_letters = st.sampled_from(MODELS)
_faults = st.lists(FAULTS, min_size=1, max_size=5)


class FleetMachine(RuleBasedStateMachine):
    """Starts, disturbs, stops, redrives and resumes executions of one fleet, and audits each when it has ended.

    Rules have no preconditions: which executions fail depends on the timing of processes, so that a repeated
    run may come to another state. A rule that does not fit the state does nothing.
    """

    stage: ClassVar[Stage]
    counts: ClassVar[Counter[str]]
    names: ClassVar[str]
    examples: ClassVar[int]
    spot: ClassVar[bool] = False
    """Whether executions score on spot capacity."""
    is_first: ClassVar[bool]
    """Whether the next example is the first one of a seed."""

    @staticmethod
    def begin(stage: Stage, names: str) -> None:
        """Prepare for the examples of another seed, whose fleets have names that begin so."""
        FleetMachine.stage = stage
        FleetMachine.names = names
        FleetMachine.counts = Counter()
        FleetMachine.examples = 0
        FleetMachine.is_first = True

    @initialize(layout=st.sampled_from(LAYOUTS), faults=WEATHER)
    def create(self, layout: Layout, faults: list[Fault]) -> None:
        if FleetMachine.is_first:
            # Hypothesis tries the simplest example first, which is the same for all seeds, and a storm of minutes.
            FleetMachine.is_first = False
            assume(False)
        FleetMachine.examples += 1
        name = f"{self.names}-{FleetMachine.examples}-{layout.replace('_', '-')}"
        self.world = World.create(self.stage, name, layout, self.counts, spot=self.spot)
        self.world.start(*faults)

    @rule(faults=_faults)
    def add_faults(self, faults: list[Fault]) -> None:
        for fault in faults:
            self.world.add(fault)

    @rule(faults=WEATHER)
    def resume(self, faults: list[Fault]) -> None:
        self.world.resume(*faults)

    @rule(faults=WEATHER)
    def start(self, faults: list[Fault]) -> None:
        self.world.start(*faults)

    @rule(moment=st.sampled_from(["at once", "planned", "running", "committed"]))
    def stop(self, moment: str) -> None:
        self.world.stop(moment)

    @rule(times=st.integers(1, 2))
    def redrive(self, times: int) -> None:
        for _ in range(times):
            self.world.redrive()

    @rule()
    def resume_without_faults(self) -> None:
        # Without arguments, so that it is the first rule that Hypothesis tries.
        self.world.settle()
        self.world.calm()
        self.world.resume()

    @rule(key=_keys, refused=st.integers(0, 2))
    def replace_object(self, key: str, refused: int) -> None:
        self.world.change(f"put {key}, refused={refused}", lambda fleet: fleet.put(key, refused=refused))

    @rule(key=_keys)
    def delete_object(self, key: str) -> None:
        self.world.change(f"delete {key}", lambda fleet: fleet.delete(key))

    @rule(key=_keys)
    def corrupt_object(self, key: str) -> None:
        self.world.change(f"corrupt {key}", lambda fleet: fleet.corrupt(key))

    @rule(letter=_letters, weight=st.sampled_from([0, 3, 5]))
    def register(self, letter: str, weight: int) -> None:
        self.world.change(f"register {letter}, weight={weight}", lambda fleet: fleet.register(letter, weight=weight))

    @rule(letter=_letters, enabled=st.booleans())
    def enable(self, letter: str, enabled: bool) -> None:
        self.world.change(f"enable {letter}, {enabled}", lambda fleet: fleet.set_enabled(letter, enabled=enabled))

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.settle()
                self.world.finish()
            finally:
                self.world.close()


class SpotFleetMachine(FleetMachine):
    """The same with executions that score on spot capacity, which is taken back again and again."""

    spot = True

    @rule(faults=st.lists(SPOT_FAULTS, min_size=1, max_size=2))
    def add_spot_faults(self, faults: list[Fault]) -> None:
        for fault in faults:
            self.world.add(fault)

    @rule(faults=st.lists(SPOT_FAULTS, min_size=1, max_size=2))
    def start_with_spot_faults(self, faults: list[Fault]) -> None:
        self.world.settle()
        self.world.calm()
        self.world.start(*faults)


def machine_settings(examples: int, steps: int, *, shrink: bool) -> settings:
    """Return the settings of a run. Shrinking runs many executions, so a long run leaves it to a repetition."""
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=False,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
