"""An `aws` program that forks a process with the AWS CLI already imported, to save time.

A server imports the AWS CLI once and forks a child per call. The child has the caller's arguments,
variables, folder and file descriptors.
"""

import subprocess
from pathlib import Path
from types import TracebackType

_SERVER = """
import json, os, signal, socket, sys, traceback
before = dict(os.environ)
from awscli.clidriver import create_clidriver, main

create_clidriver()
# The import sets variables that the AWS CLI needs.
own = {name: value for name, value in os.environ.items() if name not in before}


def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


signal.signal(signal.SIGCHLD, reap)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
while True:
    caller, _ = listener.accept()
    if os.fork():
        caller.close()
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, descriptors, _, _ = socket.recv_fds(caller, 1, 3)
    request = json.load(caller.makefile())
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update({**own, **request["variables"]})
    sys.argv = ["aws", *request["arguments"]]
    code = 255
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    caller.sendall(str(int(code or 0)).encode())
    os._exit(0)
"""
_CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    request = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "variables": dict(os.environ)}}
    server.sendall(json.dumps(request).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(16) or 255))
"""


class WarmAwsCli:
    """A folder for PATH with a program `aws`, which works until the block ends."""

    def __init__(self, python: Path, folder: Path) -> None:
        """`python` has the AWS CLI. The path of `folder` is short, because it holds a socket."""
        self.folder = folder
        address = folder / "socket"
        program = folder / "aws"
        program.write_text(_CLIENT.format(python=python, path=str(address)), encoding="utf-8")
        program.chmod(0o755)
        self._server = subprocess.Popen(
            [str(python), "-c", _SERVER, str(address)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n", f"{python} cannot import the AWS CLI"

    def __enter__(self) -> "WarmAwsCli":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.kill()
        self._server.communicate()
