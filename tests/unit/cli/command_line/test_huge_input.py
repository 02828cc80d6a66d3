"""Numbers and descriptions that are too large for Python are refused like other wrong values."""

from pathlib import Path

import pytest
import rich_click as click

from cli.command_line.options import count
from cli.documents.bulk_file import read_bulk
from cli.documents.mlflow_folder import read_mlflow_folder
from cli.documents.model_document import read_json_file
from contract.problems import InvalidInputError
from contract.triggers.schedule_expression import parse_expression

DIGITS = "9" * 5_000


def test_options_refuse_numbers_of_any_length() -> None:
    with pytest.raises(click.BadParameter, match="is not a whole number of at least 0"):
        count(DIGITS)


def test_bulk_files_refuse_numbers_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "models.csv"
    path.write_text(f"model_id,max_attempts\nchurn,{DIGITS}\n")
    with pytest.raises(InvalidInputError, match="line 2: max_attempts: got '9999") as refused:
        read_bulk(path)
    assert len(str(refused.value)) < 3_000


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": 1e999999}', f'{{"a": {DIGITS}}}', '{"a": NaN}', '{"a":1,"a":2}']
)
def test_documents_are_refused_with_the_reason(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.json"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match="JSON text, but ") as refused:
        read_json_file("model", path, dict)
    assert len(str(refused.value)) < 500


def test_schedules_refuse_numbers_of_any_length() -> None:
    with pytest.raises(InvalidInputError, match="got 'cron") as refused:
        parse_expression("expression", f"cron(0 {DIGITS} * * ? *)")
    assert "4300" not in str(refused.value)


def test_aliases_in_a_description_cannot_multiply(tmp_path: Path) -> None:
    levels = [f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]" for level in range(1, 10)]
    (tmp_path / "MLmodel").write_text("\n".join(["l0: &l0 [x]", *levels, "signature: {inputs: *l9}", "flavors: {}"]))
    with pytest.raises(InvalidInputError, match="a description of at most 100,000 values"):
        read_mlflow_folder(tmp_path)
