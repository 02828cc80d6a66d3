"""Durations and sums of money as texts for people."""

from contract.planner.estimates import Estimate


def duration_text(seconds: float) -> str:
    """Return a duration in the unit that fits.

    >>> duration_text(42), duration_text(600), duration_text(9_000), duration_text(400_000)
    ('42 s', '10 min', '2.5 h', '4.6 days')
    """
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

    >>> cost_text(12.345), cost_text(0.0123), cost_text(None)
    ('12.35 USD', '0.0123 USD', 'no price')
    """
    if cost is None:
        return "no price"
    return f"{cost:,.2f} USD" if cost >= 0.1 else f"{cost:,.4f} USD"
