"""Wrong usage of the backfill is refused before AWS is called."""

import pytest

from cli.main import main

WORDS = {"--dataset": "f-{date}", "--from": "2026-01-01", "--to": "2026-01-02"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "2025-12-31"], "to: got '2025-12-31T00', expected 2026-01-01T00, the value of --from, or later"),
        (["--every", "hour"], "a name with {hour}, because there is one dataset per hour"),
        (["--dataset", "f-{date}-{hour}"], "Add `--every hour`, or leave {hour} out."),
        (["--time-zone", "Mars/Base"], "time-zone: got 'Mars/Base', expected a time zone of the IANA database"),
        (["--time-zone", "europe/berlin"], "Write 'Europe/Berlin'."),
        (["--input", '{"models": ["a"], "resume": "e"}'], "Leave models, resume out of --input"),
        (["--input", '{"instance_count": 0}'], "instance_count"),
        (["--input", "[]"], "a JSON object such as {}"),
        (["--input", "{"], "JSON text"),
        (["--models", "A B"], "models[0]"),
        (["--max-executions", "0"], "max-executions: got 0, expected 1 to 100"),
    ],
)
def test_wrong_usage_is_refused(capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    words = {**WORDS, options[0]: options[1]}
    assert main(["backfill", *[word for pair in words.items() for word in pair]]) == 2
    assert message in capsys.readouterr().err
