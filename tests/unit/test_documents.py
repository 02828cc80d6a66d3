"""The documents match the code: fields, commands, links, folders and examples."""

import dataclasses
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest
from pyarrow import parquet

from cli.artifact_check.check import check_artifact
from cli.command_line.program import fleetscore
from cli.command_line.record_options import given_fields
from cli.commands.models.registration import draft_of, register
from cli.documents.bulk_file import read_bulk
from cli.documents.recipe_document import read_recipe
from cli.failures import ExitStatus
from contract.catalog.model_formats import METHODS_OF_FORMAT
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import ModelVersion
from contract.status import ExecutionStatus, VersionState
from contract.training.recipes import ModelRecipe, Promotion, TrainingCompute
from contract.workflow.scoring_request import ExecutionRequest
from contract.workflow.training_request import TrainingRequest

ROOT = Path(__file__).parents[2]
GENERATED_FOLDERS = {"node_modules", "build", "cdk.out", "demo-output"}


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ExecutionRequest)])
def test_request_document_explains_every_field(field: str) -> None:
    assert f"| `{field}` |" in text_of("docs/reference/request.md")


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ModelSpec)])
def test_record_reference_explains_every_field_of_a_model(field: str) -> None:
    assert f"`{field}`" in text_of("docs/reference/models/model-record.md")


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ModelVersion)])
def test_record_reference_explains_every_field_of_a_version(field: str) -> None:
    assert field == "spec" or f"`{field}`" in text_of("docs/reference/models/model-record.md")


@pytest.mark.parametrize(
    "command",
    ["test", "register", "import", "list", "compare", "promote", "rollback", "disable", "infer-schema", "bulk"],
)
def test_models_document_names_every_command(command: str) -> None:
    assert re.search(rf"fleetscore models {command}\b|--{command}\b", text_of("docs/learn/models.md"))


@pytest.mark.parametrize("status", ExitStatus)
def test_command_reference_explains_every_exit_status(status: ExitStatus) -> None:
    assert f"| {int(status)} | {status.meaning} |" in text_of("docs/reference/command.md")


@pytest.mark.parametrize("format_", METHODS_OF_FORMAT)
def test_format_reference_names_every_format_and_its_methods(format_: str) -> None:
    document = text_of("docs/reference/models/model-formats.md")
    assert f"`{format_}`" in document
    assert all(f"`{method}`" in document for method in METHODS_OF_FORMAT[format_])


def test_request_document_names_every_outcome() -> None:
    final = set(ExecutionStatus) - {ExecutionStatus.RUNNING}
    assert all(f"| `{status.value}` |" in text_of("docs/reference/request.md") for status in final)


TRAINING_FIELDS = sorted(
    {
        field.name
        for cls in (ModelRecipe, Promotion, TrainingCompute, TrainingRequest)
        for field in dataclasses.fields(cls)
    }
    - {"model_id", "updated_at", "updated_by"}
)


@pytest.mark.parametrize("field", TRAINING_FIELDS)
def test_docs_explain_every_field_of_recipes_and_training_requests(field: str) -> None:
    assert f"`{field}`" in text_of("docs/learn/train-models.md") + text_of("docs/reference/models/recipe.md")


def test_training_document_explains_every_state_of_a_version() -> None:
    assert [
        state for state in VersionState if f"| `{state.value}` |" not in text_of("docs/learn/train-models.md")
    ] == []


def test_the_recipe_shown_is_valid(tmp_path: Path) -> None:
    shown = text_of("docs/learn/train-models.md").split("```json\n")[1].split("```")[0]
    (tmp_path / "recipe.json").write_text(shown)
    assert read_recipe("churn", tmp_path / "recipe.json").recipe.promotion == Promotion(floor=0.7)


def test_the_recipe_shown_for_a_network_is_valid(tmp_path: Path) -> None:
    """tests/frameworks trains and scores with its script."""
    shown = text_of("docs/learn/training-script.md").split("```json\n")[1].split("```")[0]
    (tmp_path / "recipe.json").write_text(shown)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "train.py").touch()
    recipe = read_recipe("late", tmp_path / "recipe.json").recipe
    assert recipe.saved_as == "model.pt2"
    assert not any(feature.nullable for feature in recipe.features), "a network would turn nulls into numbers"


MARKDOWN = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/**/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("document", MARKDOWN)
def test_links_between_documents_lead_to_a_file_and_a_heading(document: str) -> None:
    prose = re.sub(r"```.*?```", "", text_of(document), flags=re.DOTALL)
    missing = []
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)", prose):
        path = (ROOT / document).parent / target if target else ROOT / document
        if not path.exists() or (anchor and anchor not in anchors_of(path)):
            missing.append(f"{target}#{anchor}")
    assert missing == []


def anchors_of(document: Path) -> set[str]:
    """Return the anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "folder",
    ["contract", "infra", "lambdas", "cli", "embedded", "inference_container/scoring", "inference_container/training"],
)
def test_architecture_document_lists_every_subfolder(folder: str) -> None:
    table = text_of("docs/architecture.md").split("## Subfolders")[1].split("\n## ")[0]
    subfolders = sorted(path.parent.name for path in (ROOT / folder).glob("*/__init__.py"))
    assert [name for name in subfolders if f"`{name}/`" not in table] == []


def test_code_refers_to_documents_that_exist() -> None:
    folders = ("app.py", "cdk.json", "Makefile", "cli", "contract", "embedded", "examples", "infra", "lambdas")
    files = [path for name in (*folders, "inference_container", "tests") for path in code_files(ROOT / name)]
    named = {match for path in files for match in re.findall(r"\bdocs/[\w/-]+\.(?:md|json)\b", path.read_text())}
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_tests_named_in_documents_exist() -> None:
    pattern = r"pytest (?:--\S+ )*(tests/\S+\.py)(?: -k (\w+))?"
    named = [match for document in MARKDOWN for match in re.findall(pattern, text_of(document))]
    assert len(named) >= 2
    assert [(path, word) for path, word in named if not re.search(rf"def test_\w*{word}", text_of(path))] == []


def test_files_listed_in_contributing_exist() -> None:
    listed = re.findall(r"`([\w./-]+/[\w.*-]*)`", text_of("CONTRIBUTING.md"))
    assert [path for path in listed if not any(ROOT.glob(path.rstrip("/")))] == []


def test_each_attack_in_the_trust_model_has_tests_that_exist() -> None:
    page = text_of("docs/why/trust-model.md")
    rows = [line for line in page.splitlines() if line.startswith("|") and line.count("|") == 4]
    attacks = [row for row in rows if not row.startswith(("| Attack", "|---", "| Who", "| **"))]
    assert len(attacks) > 15
    for row in attacks:
        tests = re.findall(r"`(tests/[\w./-]+)`", row)
        assert tests, row
        assert all((ROOT / path).exists() for path in tests), row


def code_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [file for suffix in ("*.py", "Dockerfile*") for file in path.rglob(suffix)]


def test_readme_shows_the_two_commands_of_the_makefile() -> None:
    for command in ("make demo", "make test"):
        assert f"```\n{command}\n```" in text_of("README.md")
        assert re.search(rf"^{command.removeprefix('make ')}:", text_of("Makefile"), re.MULTILINE)


def test_architecture_document_lists_every_folder() -> None:
    table = text_of("docs/architecture.md").split("## Folders")[1].split("\n## ")[0]
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("**/*.py"))}
    ours = {name for name in folders if not name.startswith(".") and name not in GENERATED_FOLDERS}
    assert sorted(name for name in ours if f"`{name}/`" not in table) == []


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/reference/command.md",
        "docs/reference/embedded-aws.md",
        "docs/learn/first-model.md",
        "docs/learn/first-fleet.md",
        "docs/operate/deploy.md",
        "docs/operate/failures.md",
        "docs/operate/triggers.md",
        "docs/learn/train-models.md",
    ],
)
def test_commands_shown_in_documents_exist(document: str) -> None:
    known = subcommands(fleetscore)
    shown = re.findall(r"(?:^|[`(])fleetscore ([a-z]+)(?: ([a-z]+))?", text_of(document), re.MULTILINE)
    assert [words for words in shown if words[0] not in known] == []
    actions = subcommands(known["models"])
    assert [words for words in shown if words[0] == "models" and words[1] and words[1] not in actions] == []
    targets = re.findall(r"(?:^|`)make ([a-z-]+)", text_of(document), re.MULTILINE)
    assert [name for name in targets if not re.search(rf"^{name}:", text_of("Makefile"), re.MULTILINE)] == []


def subcommands(command: click.Command) -> dict[str, click.Command]:
    assert isinstance(command, click.Group)
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: subcommand for name, subcommand in found.items() if subcommand is not None}


def test_pages_whose_lines_need_the_aws_cli_say_so() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    using = {page for page in pages if re.search(r"^\s*aws ", page.read_text(encoding="utf-8"), re.MULTILINE)}
    using -= {ROOT / "docs/reference/embedded-aws-clients.md"}
    assert [str(page) for page in using if "#the-aws-cli)" not in page.read_text(encoding="utf-8")] == []


def test_the_first_model_can_be_typed_as_shown(tmp_path: Path) -> None:
    text = text_of("docs/learn/first-model.md")
    script = textwrap.dedent(text.split("```python\n")[1].split("```")[0])
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    subprocess.run(["tar", "czf", "model.tar.gz", "model.joblib"], cwd=tmp_path, check=True)
    command = text.split("fleetscore models register ")[1].split("```")[0].replace("\\\n", " ")
    parameters = register.make_context("register", shlex.split(command)).params
    read = draft_of(parameters["model"], given_fields(parameters)).read()
    assert read.problems == ()
    assert read.document is not None
    assert check_artifact(tmp_path / read.document.artifact, read.document).problems == ()
    schema = parquet.read_schema(tmp_path / read.document.dataset / "part-0.parquet")
    assert {feature.name: feature.type for feature in read.document.features}.items() <= {
        name: str(type_) for name, type_ in zip(schema.names, schema.types, strict=True)
    }.items()
    assert set(read.document.key_columns) <= set(schema.names)


def test_the_first_fleet_can_be_typed_as_shown(tmp_path: Path) -> None:
    script = textwrap.dedent(text_of("docs/learn/first-fleet.md").split("```python\n")[1].split("```")[0])
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    lines = read_bulk(tmp_path / "models.jsonl", lambda draft: draft.with_changes(dataset="sales"))
    documents = [line.document for line in lines]
    for document in documents:
        assert check_artifact(tmp_path / document.artifact, document).problems == ()
    tables = [parquet.read_table(path) for path in sorted((tmp_path / documents[0].dataset).iterdir())]
    assert len(tables) == 6
    sold = {store for table in tables for store in table["store"].to_pylist()}
    assert sold - {route for document in documents for route in document.route} == {"s30"}
    assert {"price": "double", "sale_id": "int64"}.items() <= {
        field.name: str(field.type) for field in tables[0].schema
    }.items()
