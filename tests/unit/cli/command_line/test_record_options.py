"""Input options from flags of `register`, from model.json, and from bulk files."""

import json
from pathlib import Path

import pytest

from cli.command_line.record_options import given_fields
from cli.commands.models.registration import draft_of, register
from cli.documents.bulk_file import read_bulk
from cli.documents.model_document import Draft
from contract.dataset.input_options import InputOptions
from contract.problems import InvalidInputError

FIELDS = {
    "artifact": "model.tar.gz",
    "dataset": "customers",
    "format": "sklearn-joblib",
    "model_file": "model.joblib",
    "method": "predict",
    "features": [{"name": "age", "type": "double"}],
}


def parse_register(words: list[str]) -> Draft:
    parameters = register.make_context("register", words).params
    return draft_of(parameters["model"], given_fields(parameters))


def test_input_flags_override_the_file_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    options = {"csv_delimiter": ";", "null_values": ["-"]}
    path.write_text(json.dumps({**FIELDS, "model_id": "churn", "input": options, "partition_columns": ["day"]}))
    words = [f"@{path}", "--null-values", ",x", "--no-csv-header", "--csv-columns", "id,age"]
    document = parse_register(words).document()
    assert document.input == InputOptions(
        csv_delimiter=";", csv_header=False, csv_columns=("id", "age"), null_values=("", "x")
    )
    assert document.partition_columns == ("day",)
    version = document.model_version("1", "0" * 64, 1)
    assert (version.spec.input, version.spec.partition_columns) == (document.input, ("day",))


def test_the_model_and_its_input_each_have_a_format(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**FIELDS, "model_id": "churn", "input": {"csv_delimiter": ";"}}))
    words = [f"@{path}", "--format", "sklearn-joblib", "--input-format", "csv"]
    document = parse_register(words).document()
    assert (document.format, document.input) == ("sklearn-joblib", InputOptions(format="csv", csv_delimiter=";"))


def test_invalid_input_options_are_reported_with_other_problems(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**FIELDS, "model_id": "churn", "method": "guess"}))
    words = [f"@{path}", "--csv-delimiter", "||", "--csv-columns", "age"]
    with pytest.raises(InvalidInputError) as refused:
        parse_register(words).document()
    text = str(refused.value)
    for part in ("csv_delimiter: got '||'", "csv_columns: got ['age']", "csv_header to false", "method: got 'guess'"):
        assert part in text


def test_bulk_csv_has_input_options_as_json(tmp_path: Path) -> None:
    path = tmp_path / "models.csv"
    header = "model_id,artifact,dataset,format,model_file,method,features,input,partition_columns\n"
    line = 'churn,m.tar.gz,customers,sklearn-joblib,m.joblib,predict,age:double,"{""csv_quote"": """"}","day,hour"\n'
    path.write_text(header + line)
    [found] = read_bulk(path)
    assert found.document.input == InputOptions(csv_quote="")
    assert found.document.partition_columns == ("day", "hour")
    path.write_text(header + line.replace('"{""csv_quote"": """"}"', "quotes"))
    with pytest.raises(InvalidInputError, match=r"line 2: input: got 'quotes', expected a JSON object"):
        read_bulk(path)
