"""Durations and sums of money as texts for people."""

from contract.planner.estimates import Estimate


def duration_text(seconds: float) -> str:
    """Return a duration in the unit that fits.

    >>> duration_text(0.42), duration_text(42), duration_text(600), duration_text(9_000), duration_text(400_000)
    ('0.4 s', '42 s', '10 min', '2.5 h', '4.6 days')
    """
    if 0 < seconds < 9.95:
        return f"{max(seconds, 0.1):.1f} s"
    if seconds < 120:
        return f"{seconds:,.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:,.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3_600:,.1f} h"
    return f"{seconds / 86_400:,.1f} days"


def band_text(seconds: Estimate) -> str:
    """Return an expected duration with its band.

    >>> band_text(Estimate(600, 480, 900))
    '10 min (8 min to 15 min)'
    """
    return f"{duration_text(seconds.value)} ({duration_text(seconds.low)} to {duration_text(seconds.high)})"


def cost_text(cost: float | None) -> str:
    """Return a sum in US dollars.

    >>> cost_text(12.345), cost_text(0.0123), cost_text(0.00001), cost_text(None)
    ('12.35 USD', '0.0123 USD', '< 0.0001 USD', 'no price')
    """
    if cost is None:
        return "no price"
    if 0 < cost < 0.0001:
        return "< 0.0001 USD"
    return f"{cost:,.2f} USD" if cost >= 0.1 else f"{cost:,.4f} USD"


def instance_hours_text(hours: float) -> str:
    """Return instance-hours.

    >>> instance_hours_text(0.6), instance_hours_text(0.001)
    ('0.60 instance-hours', '< 0.01 instance-hours')
    """
    return "< 0.01 instance-hours" if 0 < hours < 0.01 else f"{hours:,.2f} instance-hours"


def prices_text(date: str, source: str) -> str:
    """Return which prices a cost was computed with.

    >>> prices_text("2026-03-01", "contract of 2026")
    'prices of 2026-03-01: contract of 2026'
    """
    return f"prices of {date}: {source}"
