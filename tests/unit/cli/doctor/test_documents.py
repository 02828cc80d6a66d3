"""The documents name every check, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[4]
MOST_ASSUMPTIONS = 15


def check_names() -> set[str]:
    code = "".join(path.read_text() for path in (ROOT / "cli/doctor").rglob("*.py"))
    return set(re.findall(r'Report\(\s*"([a-z.]+)"', code))


def test_each_check_is_documented() -> None:
    document = (ROOT / "docs/operate/doctor.md").read_text()
    assert len(check_names()) > 30
    assert [name for name in sorted(check_names()) if f"`{name}`" not in document] == []


def test_the_assumptions_name_checks_that_exist_and_are_few() -> None:
    rows = [row for row in (ROOT / "docs/why/unverified.md").read_text().splitlines() if row.startswith("| ")][1:]
    assert 1 < len(rows) <= MOST_ASSUMPTIONS
    named = {name for row in rows for name in re.findall(r"`([a-z]+\.[a-z]+)`", row.split("|")[2])}
    assert named <= check_names()
    # Every check of a job settles an assumption.
    assert {name for name in check_names() if name.startswith(("job.", "training."))} <= named
    assert all(re.search(r"`[a-z]+\.[a-z]+`|no check: ", row.split("|")[2]) for row in rows)
