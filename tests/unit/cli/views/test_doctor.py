from cli.doctor.findings import Finding, Level
from cli.views.doctor import closing_view, finding_lines


def test_the_most_serious_findings_come_last_and_columns_stay_apart() -> None:
    findings = [
        Finding("clock", Level.ERROR, "this machine's clock", "wrong", "Set it."),
        Finding("key.rotation", Level.WARNING, "the key", "not rotated", "Rotate it."),
        Finding("training.separation", Level.OK, "model code", "as another user"),
    ]
    [line] = finding_lines(findings[2])
    assert str(line) == "ok      training.separation  model code: as another user"
    assert [str(line) for line in closing_view(findings)] == [
        "warning key.rotation         the key: not rotated",
        "                             To do: Rotate it.",
        "error   clock                this machine's clock: wrong",
        "                             To do: Set it.",
        "",
        "The stage is not ready. 1 ok, 1 warning, 1 error.",
    ]
