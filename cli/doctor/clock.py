"""Comparison of this machine's clock with AWS's, because AWS refuses wrong signing times."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from botocore.exceptions import ClientError

from cli.doctor.findings import Finding, Report
from cli.stage.connection import Connection

_ERROR_SECONDS = 240
"""AWS refuses requests that are more than five minutes off."""
_WARNING_SECONDS = 30


def clock_findings(connection: Connection) -> Iterator[Finding]:
    """Compare this machine's clock with the date in a response of AWS, even a refusal."""
    report = Report("clock", "this machine's clock")
    client = connection.client("sts")
    try:
        answer = client.get_caller_identity()
    except ClientError as error:
        answer = error.response
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if not date:
        yield report.warning("AWS's answer has no date to compare with", "Check that a time service sets this clock.")
        return
    difference = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    size = abs(difference)
    found = f"{size:,.0f} seconds {'ahead of' if difference > 0 else 'behind'} AWS"
    remedy = "Turn on this machine's time service (NTP), and run the command again."
    if size > _ERROR_SECONDS:
        yield report.error(f"{found}: AWS refuses requests that are five minutes off", remedy)
    elif size > _WARNING_SECONDS:
        yield report.warning(found, remedy)
    else:
        yield report.ok("within 30 seconds of AWS")
