import json
from pathlib import Path

import pytest

from cli.documents.settings_file import schedules_to_deploy


def test_the_names_of_declared_schedules_are_read_in_order(tmp_path: Path) -> None:
    settings = {"schedules": [{"name": "b", "expression": "rate(1 day)"}, {"name": "a"}, {"nome": "c"}, "d"]}
    (tmp_path / "cdk.json").write_text(json.dumps({"context": {"fleetscore": settings}}))
    assert schedules_to_deploy(tmp_path) == ["b", "a"]


@pytest.mark.parametrize("text", ["{", "[]", '{"context": {"fleetscore": {"schedules": 3}}}', '{"context": null}'])
def test_a_file_without_schedules_declares_none(tmp_path: Path, text: str) -> None:
    assert schedules_to_deploy(tmp_path) == []
    (tmp_path / "cdk.json").write_text(text)
    assert schedules_to_deploy(tmp_path) == []
