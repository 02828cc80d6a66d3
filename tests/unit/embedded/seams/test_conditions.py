import json

import pytest
from ministack.core import iam_actions

from embedded.seams.conditions import install_conditions


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iam_actions, "request_tag_context", iam_actions.request_tag_context)
    install_conditions({})


def context(action: str, *entries: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = iam_actions.request_tag_context(
        "events", action, json.dumps({"Entries": entries}).encode(), {}
    )
    return found


@pytest.mark.usefixtures("installed")
def test_policies_see_source_and_detail_type_of_put_events() -> None:
    one = {"Source": "fleetscore", "DetailType": "a"}
    assert context("events:PutEvents", one) == {"events:source": "fleetscore", "events:detail-type": "a"}
    both = context("events:PutEvents", one, {"Source": "other", "DetailType": "a"})
    assert both["events:source"] == ["fleetscore", "other"]


@pytest.mark.usefixtures("installed")
def test_other_requests_get_no_event_conditions() -> None:
    assert context("events:PutRule") == {}
