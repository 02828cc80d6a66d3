"""The command's words: subcommands and options. Global options may stand before or after the subcommand."""

import argparse
from pathlib import Path

from cli.commands import backfill as backfill_commands
from cli.commands import executions as execution_commands
from cli.commands import local as local_commands
from cli.commands import models as model_commands
from cli.commands import registration as registration_commands
from cli.commands import resources as resource_commands
from cli.commands import schedules as schedule_commands
from cli.commands import training as training_commands
from cli.failures import ExitStatus
from cli.stage.backfill import STEPS
from cli.stage.deployment import RESOURCES
from contract.catalog.model_formats import ARROW_TYPES, FRAMEWORK_OF_FORMAT, METHODS_OF_FORMAT

DEFAULT_STAGE = "dev"

_EXIT_STATUSES = f"""exit status:
  {ExitStatus.SUCCEEDED:>3}  done; for `run --wait` and `watch`: every job succeeded
  {ExitStatus.FAILED:>3}  the execution failed, timed out or was aborted
  {ExitStatus.REFUSED:>3}  bad arguments, an invalid request or model, or something that does not exist
  {ExitStatus.PARTLY_FAILED:>3}  some jobs of the execution failed
  {ExitStatus.AWS:>3}  AWS was not reachable or refused, or the stacks are not deployed
  {ExitStatus.INTERRUPTED:>3}  interrupted (a watched execution goes on)
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fleetscore",
        description="Score huge datasets in S3 with fleets of models: on an AWS account, or in an embedded AWS.",
        epilog=_EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_globals(parser, top=True)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_models(commands)
    _add_executions(commands)
    _add_train(commands)
    _add_resources(commands)
    _add_backfill(commands)
    _add_schedules(commands)
    _add_local(commands)
    return parser


def _add_globals(parser: argparse.ArgumentParser, *, top: bool = False) -> None:
    # A subcommand's parser must not put its defaults over what stood before the subcommand.
    def default(value: object) -> object:
        return value if top else argparse.SUPPRESS

    group = parser.add_argument_group("global options")
    group.add_argument("--endpoint-url", metavar="URL", default=default(None), help="address of the AWS APIs")
    group.add_argument("--profile", metavar="NAME", default=default(None), help="profile of the AWS configuration")
    group.add_argument("--region", metavar="REGION", default=default(None), help="AWS Region")
    group.add_argument(
        "--stage", metavar="STAGE", default=default(DEFAULT_STAGE), help=f"deployment stage (default {DEFAULT_STAGE})"
    )
    group.add_argument("--json", action="store_true", default=default(False), help="print data as JSON, nothing else")
    group.add_argument(
        "--debug", action="store_true", default=default(False), help="show the Python traceback of an error"
    )


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str, handler: object
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
    _add_globals(parser)
    if handler is not None:
        parser.set_defaults(handler=handler)
    return parser


def _add_models(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    models = _add(
        commands,
        "models",
        "register, import, test, list, show, promote, approve, reject, roll back, compare, enable or disable models, "
        "and their training recipes",
        None,
    )
    actions = models.add_subparsers(metavar="ACTION", required=True)
    register = _add(actions, "register", "register a new version of a model", registration_commands.register)
    register.add_argument(
        "model",
        nargs="?",
        metavar="MODEL_ID|@model.json",
        help="the model, or a JSON file with the fields below (flags win)",
    )
    register.add_argument(
        "--artifact", default=argparse.SUPPRESS, metavar="PATH|s3://…", help="model.tar.gz, as SageMaker writes it"
    )
    register.add_argument(
        "--bulk", type=Path, metavar="FILE.jsonl|FILE.csv", help="many models, all or nothing, instead of one"
    )
    _add_record_flags(register)
    imported = _add(actions, "import", "register a model of another registry", registration_commands.import_model)
    imported.add_argument("model", metavar="MODEL_ID")
    where = imported.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--mlflow", type=Path, metavar="FOLDER", help="a model folder of MLflow, with a flavor that is known"
    )
    where.add_argument("--model-package", metavar="ARN", help="an approved model package of SageMaker's Model Registry")
    _add_record_flags(imported)

    _add(actions, "list", "list every model", model_commands.list_models)
    show = _add(actions, "show", "show a model and its versions", model_commands.show)
    show.add_argument("model", metavar="MODEL_ID")
    show.add_argument("--version", metavar="V", help="show every field of this version")
    for name, enabled in (("enable", True), ("disable", False)):
        text = "let executions score a model" if enabled else "keep a model out of executions"
        switch = _add(actions, name, text, model_commands.switch)
        switch.add_argument("model", metavar="MODEL_ID")
        switch.set_defaults(enabled=enabled)
    promote = _add(actions, "promote", "make a version the current one", model_commands.promote)
    promote.add_argument("model", metavar="MODEL_ID")
    promote.add_argument("version", metavar="VERSION")
    rollback = _add(actions, "rollback", "make the version current again that was before", model_commands.roll_back)
    rollback.add_argument("model", metavar="MODEL_ID")
    approve = _add(actions, "approve", "make a version that was trained the current one", training_commands.approve)
    reject = _add(actions, "reject", "refuse a trained version that waits for approval", training_commands.reject)
    for parser in (approve, reject):
        parser.add_argument("model", metavar="MODEL_ID")
        parser.add_argument("version", metavar="VERSION")
    _add_recipes(actions)
    for parser in (promote, rollback, approve, reject):
        parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the model's history")
    test = _add(actions, "test", "score a sample on this machine with the container's code", model_commands.test)
    test.add_argument("model", metavar="MODEL_ID")
    test.add_argument("sample", type=Path, metavar="SAMPLE", help="Parquet, CSV or JSON Lines, by its name's end")
    test.add_argument("--version", metavar="V", help="a version of the catalog (default: the current one)")
    test.add_argument("--record", type=Path, metavar="MODEL.json", help="a record as `register` takes it, without AWS")
    test.add_argument("--artifact", metavar="PATH", help="model.tar.gz, with --record (default: the record's)")
    test.add_argument("--rows", type=_count, default=5, metavar="N", help="first rows to show (default 5)")
    compare = _add(actions, "compare", "show what differs between two versions", model_commands.compare_versions)
    compare.add_argument("model", metavar="MODEL_ID")
    compare.add_argument("first", metavar="VERSION")
    compare.add_argument("second", metavar="VERSION")


def _add_recipes(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    recipe = _add(actions, "recipe", "set, list, show or remove how models are trained", None)
    words = recipe.add_subparsers(metavar="ACTION", required=True)
    add = _add(words, "set", "set a model's recipe", training_commands.set_recipe)
    add.add_argument("model", metavar="MODEL_ID")
    add.add_argument("recipe", metavar="@recipe.json", help="its trainer, datasets, label, features and more")
    _add(words, "list", "list every recipe", training_commands.list_recipes)
    for word, text, handler in (
        ("show", "show a model's recipe", training_commands.show_recipe),
        ("remove", "remove a model's recipe; its versions stay", training_commands.remove_recipe),
    ):
        _add(words, word, text, handler).add_argument("model", metavar="MODEL_ID")


def _add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    train = _add(
        commands, "train", "train models by their recipes, and promote what is good enough", training_commands.train
    )
    add = train.add_argument
    add("--models", metavar="A,B", type=_words, help="models to train (default: every enabled model with a recipe)")
    add("--input", default="{}", metavar="JSON|@file", help="the request (default {})")
    add("--name", metavar="NAME", help="the execution's id (default: time and a random part)")
    add("--wait", action="store_true", help="watch it until it ends; the exit status is its outcome")
    add("--check", action="store_true", help="check the request's form without AWS; exit status 0 or 2, starts nothing")


def _add_record_flags(parser: argparse.ArgumentParser) -> None:
    """The fields of a model's record. One that is not given must not be there: it may be in a file."""
    unset = argparse.SUPPRESS
    add = parser.add_argument
    add("--dataset", default=unset, metavar="NAME", help="the dataset that the model scores")
    add("--framework", default=unset, help="default: the format's")
    add("--framework-version", default=unset, metavar="VERSION", help="the version that it was trained with")
    add("--format", default=unset, help=", ".join(FRAMEWORK_OF_FORMAT))
    add("--model-file", default=unset, metavar="NAME", help="path of the serialized model in the artifact")
    add("--method", default=unset, help=", ".join(sorted(set().union(*METHODS_OF_FORMAT.values()))))
    add(
        "--features",
        default=unset,
        metavar='@file.json|"name:type,…"',
        help=f"input columns in the model's order; name:type:required must not be null; types: "
        f"{', '.join(sorted(ARROW_TYPES))}",
    )
    add("--key-columns", default=unset, metavar="A,B", type=_words, help="columns that tell a row from all others")
    add("--output-columns", default=unset, metavar="A,B", type=_words, help="names of the prediction columns")
    add(
        "--tolerated-quarantine-fraction",
        default=unset,
        type=float,
        metavar="FRACTION",
        help="of an object's rows, how many may go to quarantine before it fails (default 0)",
    )
    add("--output-format", default=unset, metavar="NAME", help="parquet (default), csv or jsonl")
    add("--row-number-column", default=unset, metavar="NAME", help="an output column with each row's number, from 0")
    add(
        "--columns",
        default=unset,
        metavar="all|keys",
        help="all: input and predictions; keys: key columns and predictions",
    )
    _add_loading_flags(parser)
    add(
        "--partition-columns",
        default=unset,
        metavar="A,B",
        type=_words,
        help="columns out of the objects' keys: name=value/ parts",
    )
    add("--csv-delimiter", default=unset, metavar="C", help="delimiter of CSV (default a comma; a tab is $'\\t')")
    add("--csv-quote", default=unset, metavar="C", help='quote of CSV (default "); empty: nothing is quoted')
    add(
        "--no-csv-header",
        action="store_const",
        const=False,
        dest="csv_header",
        default=unset,
        help="the first line of CSV is a row; the columns are --csv-columns, or the features and then the keys",
    )
    add("--csv-columns", default=unset, metavar="A,B", type=_words, help="columns of CSV without a header, in order")
    add(
        "--null-values",
        default=unset,
        metavar="A,B",
        type=_cells,
        help="cells of CSV that are null (default: the empty one, NA, N/A, NULL, NaN, nan, null)",
    )
    add("--instance-type", default=unset, metavar="TYPE", help="SageMaker instance type, for example ml.m5.xlarge")
    add("--instance-count", default=unset, type=int, metavar="N", help="instances of a job")
    add("--volume-size-gb", default=unset, type=int, metavar="GB", help="volume of an instance")
    add("--max-runtime-seconds", default=unset, type=int, metavar="S", help="time limit of an attempt")
    add("--max-attempts", default=unset, type=int, metavar="N", help="attempts of a job (default 3)")
    add("--tag", action="append", dest="tag", default=unset, metavar="KEY=VALUE", help="repeatable")
    add("--version", default=unset, metavar="V", help="name of the version (default: the next whole number)")
    add("--disabled", action="store_const", const=False, dest="enabled", default=unset, help="keep out of executions")
    add(
        "--infer-schema",
        type=Path,
        metavar="SAMPLE",
        help="features out of the artifact, which is loaded for it, and their types out of this sample",
    )


def _add_loading_flags(parser: argparse.ArgumentParser) -> None:
    """How the container loads the model and predicts with it, where that is not as usual."""
    unset = argparse.SUPPRESS
    add = parser.add_argument
    add(
        "--custom-code",
        action="store_const",
        const=True,
        default=unset,
        help="run the artifact's code/inference.py (model_fn, input_fn, predict_fn, output_fn)",
    )
    add("--content-type", default=unset, help="what its input_fn gets: text/csv, application/json, application/x-npy")
    add(
        "--accept", default=unset, help="what its output_fn is asked for: application/json, text/csv, application/x-npy"
    )
    add("--output-types", default=unset, metavar="A,B", type=_words, help="types of what it predicts (default double)")
    add("--accelerator", default=unset, help="daal4py: predict trees of XGBoost or LightGBM with it, checked")
    add("--trusted-types", default=unset, metavar="A,B", type=_words, help="types that a skops file may hold")


def _add_executions(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = _add(commands, "run", "start an execution", execution_commands.run)
    run.add_argument(
        "--input", default="{}", metavar="JSON|@file", help="the request (default {}: every enabled model)"
    )
    run.add_argument("--name", metavar="NAME", help="the execution's id (default: time and a random part)")
    run.add_argument("--wait", action="store_true", help="watch it until it ends; the exit status is its outcome")
    run.add_argument(
        "--check", action="store_true", help="check the request's form without AWS; exit status 0 or 2, starts nothing"
    )
    status = _add(commands, "status", "show an execution and its jobs", execution_commands.status)
    watch = _add(commands, "watch", "follow an execution until it ends", execution_commands.watch_execution)
    for parser in (status, watch):
        parser.add_argument("execution", metavar="EXECUTION", help="id or ARN")


def _add_resources(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "show the stage's buckets, table and state machines"
    resources = _add(commands, "resources", text, resource_commands.resources)
    known = ", ".join(RESOURCES)
    resources.add_argument("name", nargs="?", metavar="NAME", choices=RESOURCES, help=f"print this one alone: {known}")


def _add_backfill(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    backfill = _add(
        commands, "backfill", "score every dataset that a template names between two times", backfill_commands.backfill
    )
    add = backfill.add_argument
    add(
        "--dataset",
        required=True,
        metavar="TEMPLATE",
        help="such as 'flights-{date}'; {date} {year} {month} {day} {hour} {week} are filled in",
    )
    add("--from", required=True, dest="since", metavar="TIME", help="the first date, or date and hour (2026-01-31T06)")
    add("--to", required=True, dest="until", metavar="TIME", help="the last one")
    add("--every", choices=sorted(STEPS), default="day", help="one dataset a … (default day)")
    add("--models", metavar="A,B", type=_words, help="models to score with (default: every enabled model)")
    add("--max-executions", type=int, default=1, metavar="N", help="executions at once (default 1)")
    add("--name", metavar="NAME", help="how the executions' names begin (default: from the template)")
    add("--dry-run", action="store_true", help="show datasets and executions, start nothing")


def _add_schedules(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    schedules = _add(commands, "schedules", "start executions on schedule", None)
    actions = schedules.add_subparsers(metavar="ACTION", required=True)
    add = _add(actions, "add", "add a schedule", schedule_commands.add)
    add.add_argument("name", metavar="NAME", help="also how the names of its executions begin")
    add.add_argument("expression", metavar="EXPRESSION", help='"cron(30 2 * * ? *)", "rate(6 hours)" or "at(…)"')
    add.add_argument("--time-zone", default="UTC", metavar="ZONE", help="such as Europe/Berlin (default UTC)")
    add.add_argument(
        "--flexible-window-minutes", type=int, metavar="N", help="start within N minutes after the time (1 to 1440)"
    )
    add.add_argument(
        "--input", default="{}", metavar="JSON|@file", help="the request (default {}: every enabled model)"
    )
    add.add_argument("--paused", action="store_true", help="add it without starting executions yet")
    _add(actions, "list", "list every schedule of the stage", schedule_commands.list_schedules)
    for word, enabled in (("pause", False), ("resume", True)):
        text = "let a schedule start executions again" if enabled else "keep a schedule from starting executions"
        switch = _add(actions, word, text, schedule_commands.switch)
        switch.add_argument("name", metavar="NAME")
        switch.set_defaults(enabled=enabled)
    remove = _add(actions, "remove", "remove a schedule that was added with this command", schedule_commands.remove)
    remove.add_argument("name", metavar="NAME")


def _add_local(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    up = _add(
        commands,
        "up",
        "start the embedded AWS, deploy, and print exports for this shell's AWS clients",
        local_commands.up,
    )
    up.add_argument("--foreground", action="store_true", help="stay until Ctrl-C instead of going to the background")
    down = _add(commands, "down", "end the embedded AWS and remove its files", local_commands.down)
    for parser in (up, down):
        parser.add_argument(
            "--state-dir", type=Path, default=Path(".fleetscore"), metavar="FOLDER", help="default .fleetscore"
        )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _cells(text: str) -> list[str]:
    return text.split(",")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
