import pytest

from cli.documents.dataset_template import expand
from contract.problems import InvalidInputError
from contract.triggers.slots import Period, Span, read_time


def moment(text: str) -> Span:
    return read_time("time", text)


def test_template_expands_to_one_dataset_per_day_both_ends_included() -> None:
    slots = expand("flights-{date}", moment("2026-02-27"), moment("2026-03-02"), "day", "fill")
    assert [slot.dataset for slot in slots] == [
        "flights-2026-02-27",
        "flights-2026-02-28",
        "flights-2026-03-01",
        "flights-2026-03-02",
    ]
    assert [slot.execution_id for slot in slots][:2] == ["fill-20260227", "fill-20260228"]


def test_template_supports_hours_and_weeks() -> None:
    hours = expand("f-{date}-{hour}", moment("2026-03-01T22"), moment("2026-03-02T01"), "hour")
    assert [slot.dataset for slot in hours] == [
        "f-2026-03-01-22",
        "f-2026-03-01-23",
        "f-2026-03-02-00",
        "f-2026-03-02-01",
    ]
    assert len({slot.execution_id for slot in hours}) == 4
    weeks = expand("f-{week}", moment("2026-01-01"), moment("2026-01-31"), "week")
    assert [slot.dataset for slot in weeks] == ["f-2026-w01", "f-2026-w02", "f-2026-w03", "f-2026-w04", "f-2026-w05"]
    assert weeks[0].execution_id.endswith("-2026w01")
    months = expand("f-{year}-{month}", moment("2025-12-31"), moment("2026-02-01"), "month", "fill")
    assert [(slot.dataset, slot.execution_id) for slot in months] == [
        ("f-2025-12", "fill-202512"),
        ("f-2026-01", "fill-202601"),
        ("f-2026-02", "fill-202602"),
    ]


def test_execution_names_are_reproducible_and_differ_by_template() -> None:
    first, again, other = (
        expand(template, moment("2026-01-01"), moment("2026-01-01"), "day")[0].execution_id
        for template in ("a-{date}", "a-{date}", "a-{year}-{month}-{day}")
    )
    assert first == again != other
    assert len(first) <= 77


@pytest.mark.parametrize(
    ("template", "since", "until", "every", "field"),
    [
        ("flights", "2026-01-01", "2026-01-02", "day", "dataset"),
        ("flights-{day", "2026-01-01", "2026-01-02", "day", "dataset"),
        ("flights-{colour}", "2026-01-01", "2026-01-02", "day", "dataset"),
        ("flights-{date.year}", "2026-01-01", "2026-01-02", "day", "dataset"),
        ("flights-{date!r}", "2026-01-01", "2026-01-02", "day", "dataset"),
        ("flights-{}", "2026-01-01", "2026-01-02", "day", "dataset"),
        ("flights-{month}", "2026-01-01", "2026-01-02", "day", "dataset"),
        ("flights-{date}", "2026-01-01", "2026-01-02", "hour", "dataset"),
        ("Flights-{date}", "2026-01-01", "2026-01-02", "day", "dataset"),
        ("s3/flights/{date}", "2026-01-01", "2026-01-02", "day", "dataset"),
        ("flights-{date}", "2026-01-02", "2026-01-01", "day", "to"),
        ("flights-{date}", "1900-01-01", "2026-01-01", "day", "to"),
        ("flights-{date}T{hour}", "2026-01-01", "2026-01-02", "day", "dataset"),
    ],
)
def test_templates_and_times_that_do_not_fit_are_refused(
    template: str, since: str, until: str, every: Period, field: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        expand(template, moment(since), moment(until), every)
    assert [problem.field for problem in refused.value.problems] == [field]
