"""Runs code in processes that have already loaded their libraries, which takes seconds.

A server process imports the libraries once and forks a child per request. The child is a real
process: it can be signalled, and its exit code, output and files are its own.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
DEADLINE_SECONDS = 120


def run_warm(code: str, environment: Mapping[str, str], libraries: str) -> subprocess.CompletedProcess[str]:
    """Run code as `python -c` does; the result has the exit code, stdout and stderr.

    `libraries` is code that imports what shall be loaded already.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        request = {"code": code, "environment": dict(environment), "out": str(out), "err": str(err)}
        returncode = _ask(request, libraries)
        return subprocess.CompletedProcess(
            code, returncode, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8", errors="replace")
        )


def _ask(request: dict[str, Any], libraries: str) -> int:
    server = _server(libraries)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    ready, _, _ = select.select([server.stdout], [], [], DEADLINE_SECONDS)
    if not ready:
        os.killpg(server.pid, signal.SIGKILL)
        _server.cache_clear()
        raise TimeoutError(f"no answer after {DEADLINE_SECONDS} s to: {request['code']}")
    return int(server.stdout.readline())


@cache
def _server(libraries: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(REPOSITORY / "inference_container"), str(REPOSITORY)])
    server = subprocess.Popen(
        [sys.executable, "-c", f"{libraries}\nfrom tests.unit.warm_process import serve\nserve()"],
        # As the entry point sets it: libraries read it when they load OpenMP.
        env={**os.environ, "PYTHONPATH": path, "OMP_WAIT_POLICY": "PASSIVE"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    atexit.register(_stop, server)
    return server


def _stop(server: subprocess.Popen[str]) -> None:
    server.communicate()


def serve() -> None:
    """Answer each request on stdin with an exit code on stdout."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(_run(json.loads(line)))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(request: dict[str, Any]) -> int:
    for descriptor, name in ((1, "out"), (2, "err")):
        file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(request["environment"])
    try:
        exec(request["code"], {"__name__": "__main__"})  # noqa: S102 - the tests' own code
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(bool(error.code))
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
