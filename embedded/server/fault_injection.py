"""Installation of the faults of a server: one hook per place where they can happen."""

from datetime import datetime, timedelta

from embedded.faults import ClockJump, Faults
from embedded.ministack.events.delivery_faults import install_delivery_faults
from embedded.ministack.functions.function_clock import install_function_clocks
from embedded.ministack.functions.function_faults import install_function_faults
from embedded.scheduler.clock import EmbeddedClock
from embedded.step_functions.tasks.task_faults import install_task_faults


def install_faults(faults: Faults) -> None:
    """Install the hooks for functions, deliveries and workflows.

    HTTP requests, jobs and the scheduler get their faults where they are set up. Call this after
    everything that handles results of functions.
    """
    install_function_clocks(faults)
    install_function_faults(faults)
    install_delivery_faults(faults)
    install_task_faults(faults)


def jumped(faults: Faults, clock: EmbeddedClock) -> datetime:
    """Return the time of a clock, after the jump of a fault if one happens now."""
    if jump := faults.strike(ClockJump, "EventBridge Scheduler"):
        clock.set(clock.now() + timedelta(seconds=jump.seconds))
    return clock.now()
