"""The process that starts workers of Python functions as forks of itself.

`forks.py` runs the text of this file with `python -c`, so it imports nothing of this project.
"""

import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import boto3
import botocore.session

ANSWER_BYTES = 16
"""Size of an answer, in bytes: the worker's process id, padded with spaces."""
_LENGTH_BYTES = 8
_SERVICES = ("s3", "dynamodb", "stepfunctions", "sagemaker", "events", "sqs")
"""The services that functions call. Their descriptions are read once for all workers."""
_LIBRARIES = (
    "aws_lambda_powertools.logging",
    "aws_lambda_powertools.metrics",
    "aws_lambda_powertools.tracing",
    "aws_xray_sdk.core",
    "aws_xray_sdk.ext.botocore",
    "aws_lambda_powertools.utilities.batch",
    "concurrent.futures",
)


def serve(descriptor: int) -> None:
    """Start a worker per request until the other side closes the socket."""
    load_libraries()
    # Do not wait for workers: the server process polls a descriptor of each.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as connection:
        while True:
            length, pipes, _, _ = socket.recv_fds(connection, _LENGTH_BYTES, 3)
            if not pipes:
                return
            request = json.loads(_receive(connection, int.from_bytes(length, "big")))
            pid = os.fork()
            if not pid:
                connection.detach()
                os.close(descriptor)
                run_worker(request, pipes)
            pidfd = os.pidfd_open(pid)
            socket.send_fds(connection, [str(pid).ljust(ANSWER_BYTES).encode()], [pidfd])
            for opened in (pidfd, *pipes):
                os.close(opened)


def load_libraries() -> None:
    """Import the libraries, and load the descriptions of services that all sessions share."""
    # The X-Ray library reads this variable at import.
    os.environ.setdefault("LAMBDA_TASK_ROOT", os.sep)
    for name in _LIBRARIES:
        importlib.import_module(name)
    share_models()
    # Placeholder credentials: these clients only fill caches, which depend on no role.
    session = boto3.Session("none", "none", region_name="us-east-1")
    for service in _SERVICES:
        session.client(service)
    session.resource("dynamodb")
    gc.collect()
    # Garbage collections in workers would copy the memory that they share.
    gc.freeze()


def share_models() -> None:
    """Let all later sessions share one loader of services' descriptions per search path.

    Otherwise each session parses megabytes of JSON for its clients.
    """
    create_loader = functools.cache(botocore.session.create_loader)
    models = str(Path(boto3.__file__).parent / "data")

    def shared_loader(search_path: str | None = None) -> Any:
        loader = create_loader(search_path)
        # The loader caches what it finds, so boto3's folder must be in its path before the first
        # search. Each boto3 session appends the folder, so remove repeated entries.
        loader.search_paths[:] = [*(path for path in loader.search_paths if path != models), models]
        return loader

    botocore.session.create_loader = shared_loader


def run_worker(request: dict[str, Any], pipes: list[int]) -> None:
    """Become the worker: run its script with these pipes, folder and environment, and exit."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, pipe in enumerate(pipes):
        os.dup2(pipe, number)
        os.close(pipe)
    code = 1
    try:
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        sys.argv[:] = [request["script"]]
        runpy.run_path(request["script"], run_name="__main__")
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _receive(connection: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            raise EOFError("the server has ended within a request")
        received += part
    return bytes(received)
