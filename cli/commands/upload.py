"""`fleetscore upload`: put files into a dataset."""

from pathlib import Path

import rich_click as click

from cli.command_line.click_classes import Command, argument
from cli.command_line.invocation import Invocation
from cli.command_line.options import FILE
from cli.documents.dataset_files import find_files
from cli.failures import CommandError, ExitStatus, describe
from cli.stage.dataset_upload import DatasetUpload, UploadInterruptedError, find_start
from cli.views.upload import UploadProgress, UploadResult, difference_message, refuse_ready, upload_json, upload_lines
from contract.names import check_dataset_name
from contract.problems import InvalidInputError


@click.command(
    "upload",
    cls=Command,
    examples="""
    fleetscore upload customers/ customers
    fleetscore upload day/ flights --to 2026-11-29 --ready
    fleetscore upload part-7.parquet customers --overwrite --json
    """,
)
@argument("path", type=FILE, metavar="PATH", help="A file, or a folder, whose files keep their relative paths.")
@argument("dataset", metavar="DATASET", help="The dataset's name.")
@click.option("--to", "folder", default="", metavar="FOLDER", help="Folder of the dataset. Default: its root.")
@click.option("--overwrite", is_flag=True, help="Replace objects that exist with other content.")
@click.option("--ready", is_flag=True, help="Write the marker _READY last, which starts an execution over this.")
@click.pass_obj
def upload(
    invocation: Invocation, *, path: Path, dataset: str, folder: str, overwrite: bool, ready: bool
) -> ExitStatus:
    """Upload files into a dataset.

    Names that a plan would refuse are refused before anything is uploaded, and so are objects that
    exist with other content. Identical ones stay as they are, so an interrupted upload can be
    repeated. Files whose names begin with a dot are left out. The command says whether an execution
    starts.
    """
    if problems := check_dataset_name("DATASET", dataset):
        raise InvalidInputError("upload", problems)
    found = find_files(path, dataset, folder)
    output = invocation.output
    deployment = invocation.changed_deployment()
    start = find_start(invocation.connection, invocation.stage, dataset)
    if ready:
        refuse_ready(start, dataset, folder)
    upload_ = DatasetUpload(invocation.connection, deployment, dataset)
    compared = upload_.compare(found.files)
    if compared.different and not overwrite:
        raise CommandError(difference_message(compared, upload_.address))
    wanted = [*compared.new, *compared.different]
    with UploadProgress(wanted, output) as progress:
        try:
            upload_.send(wanted, overwrite=overwrite, sent=progress.sent)
        except UploadInterruptedError as error:
            text = f"{len(error.done):,} of {len(wanted):,} files are in S3, and no other was changed."
            again = "Run the same command again to continue: it leaves identical objects as they are."
            if isinstance(error.cause, KeyboardInterrupt):
                output.notice(f"\nInterrupted. {text} {again}")
                return ExitStatus.INTERRUPTED
            described = describe(error.cause)
            if described is None:
                raise error.cause from None
            raise CommandError(f"{described[0]} {text} {again}", described[1]) from error
    marker = upload_.mark_ready(folder) if ready else None
    result = UploadResult(dataset, upload_.address, found, compared, start, marker)
    output.data(upload_json(result), *upload_lines(result))
    return ExitStatus.SUCCEEDED
