"""The start of a sandboxed program, with each kind of isolation that this machine has."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.sandbox.isolation import IsolationKind, probe
from cli.sandbox.program import SandboxedProgram
from cli.sandbox.visible_files import file_list
from tests.unit.attacks import isolation_of_machine

SHOW = "import sys; print(sys.argv[1:], repr(sys.stdin.read()))"
OTHER_USER = 65_530


@pytest.fixture(params=list(IsolationKind))
def kind(request: pytest.FixtureRequest) -> IsolationKind:
    wanted: IsolationKind = request.param
    if wanted is not IsolationKind.NONE:
        isolation_of_machine("landlock" if wanted is IsolationKind.LANDLOCK else "namespaces")
    if wanted is IsolationKind.ROOT and probe().kind is not IsolationKind.ROOT:
        pytest.skip("only root makes namespaces without a user namespace")
    return wanted


@pytest.fixture
def namespaces(kind: IsolationKind) -> IsolationKind:
    if kind not in (IsolationKind.ROOT, IsolationKind.USER):
        pytest.skip("needs namespaces")
    return kind


def run(kind: IsolationKind, code: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    program = SandboxedProgram(
        argv=[sys.executable, "-c", code, *arguments],
        environment={"PATH": os.defpath},
        **options,
    )
    ended = program.run(kind)
    return subprocess.CompletedProcess(ended.args, ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def test_the_program_gets_its_arguments_and_no_input(kind: IsolationKind) -> None:
    ended = run(kind, SHOW, "two words", "$HOME", "-")
    assert (ended.stdout, ended.returncode, ended.stderr) == ("['two words', '$HOME', '-'] ''\n", 0, "")


def test_the_exit_code_is_the_programs(kind: IsolationKind) -> None:
    assert run(kind, "raise SystemExit(7)").returncode == 7
    killed = run(kind, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)").returncode
    assert killed == (128 + 9 if kind in (IsolationKind.ROOT, IsolationKind.USER) else -9)


def test_a_missing_program_is_named(kind: IsolationKind) -> None:
    program = SandboxedProgram(argv=["/no/such/program"])
    ended = program.run(kind)
    assert (ended.returncode, ended.stderr) == (127, b"/no/such/program: not found\n")


def test_the_program_does_not_run_without_its_whole_plan(kind: IsolationKind, tmp_path: Path) -> None:
    program = SandboxedProgram(argv=["/bin/sh", "-c", f"touch {tmp_path}/ran"], writable=[(tmp_path, str(tmp_path))])
    for plan, code, did_run in (
        (b"", 125, False),
        (program.plan(kind)[:-9], 125, False),
        (program.plan(kind), 0, True),
    ):
        ended = subprocess.run(program.launcher(), input=plan, capture_output=True, check=False)
        assert (ended.returncode, (tmp_path / "ran").exists()) == (code, did_run)


WAITS = """
import pathlib, signal, subprocess, sys
def stop(*_):
    sys.exit(9)
signal.signal(signal.SIGTERM, stop)
child = "import signal; print('ready', flush=True); signal.pause()"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
while True:
    signal.pause()
"""


@contextlib.contextmanager
def waiting(kind: IsolationKind) -> Iterator[tuple["subprocess.Popen[bytes]", list[int]]]:
    """Yield a launcher, and descriptors of the program and of a child process that left its
    session.
    """
    mark = uuid.uuid4().hex
    program = SandboxedProgram(
        argv=[sys.executable, "-c", WAITS],
        environment={"PATH": os.defpath, "MARK": mark},
    )
    with subprocess.Popen(program.launcher(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as launcher:
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        with launcher.stdin as plan:
            plan.write(program.plan(kind))
        assert launcher.stdout.readline() == b"ready\n"
        found = [os.pidfd_open(int(entry.name)) for entry in Path("/proc").glob("[0-9]*") if has_mark(entry, mark)]
        try:
            assert len(found) == 2
            yield launcher, found
        finally:
            launcher.kill()
            for descriptor in found:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                os.close(descriptor)


def has_mark(entry: Path, mark: str) -> bool:
    with contextlib.suppress(OSError):
        return mark.encode() in (entry / "environ").read_bytes()
    return False


def test_a_signal_reaches_the_program_and_nothing_outlives_it(namespaces: IsolationKind) -> None:
    with waiting(namespaces) as (launcher, processes):
        launcher.terminate()
        assert launcher.wait(30) == 9
        assert [bool(select.select([one], [], [], 0)[0]) for one in processes] == [True, True]


def test_nothing_outlives_a_killed_launcher(namespaces: IsolationKind) -> None:
    with waiting(namespaces) as (launcher, processes):
        launcher.kill()
        assert all(select.select([one], [], [], 30)[0] for one in processes)


def test_other_users_can_run_the_interpreter_in_the_sandbox(namespaces: IsolationKind, tmp_path: Path) -> None:
    """A container switches its workers to another user, also where the home folder is closed to
    others.
    """
    if namespaces is IsolationKind.USER:
        pytest.skip("a user namespace of an ordinary user has no other user")
    code = f"""
import os, subprocess, sys
os.setgroups([]); os.setgid({OTHER_USER}); os.setuid({OTHER_USER})
import numpy
assert os.listdir("/opt/ml") == ["input"]
sys.exit(subprocess.call([sys.executable, "-c", "import os; print(os.getuid())"]))
"""
    (tmp_path / "input").mkdir()
    tmp_path.chmod(0o755)
    ended = run(namespaces, code, writable=[(tmp_path, "/opt/ml")])
    assert (ended.stdout, ended.stderr) == (f"{OTHER_USER}\n", "")


def test_landlock_leaves_only_the_sockets_of_a_network() -> None:
    """Through the socket of D-Bus or Docker, code would start programs without the limits."""
    isolation_of_machine("landlock")
    code = """
import socket
def can(action):
    try:
        action()
    except PermissionError:
        return False
    return True
print([can(lambda: socket.socket(family)) for family in (socket.AF_INET, socket.AF_UNIX)], can(socket.socketpair))
"""
    assert run(IsolationKind.LANDLOCK, code).stdout == "[True, False] True\n"
    assert run(IsolationKind.LANDLOCK, code, own_network=True).stdout == "[False, False] True\n"


@pytest.mark.parametrize("own_network", [True, False])
def test_no_socket_reaches_the_host_of_a_virtual_machine(kind: IsolationKind, own_network: bool) -> None:
    """Network namespaces do not separate these families, so an isolated job could send data out."""
    if kind is IsolationKind.NONE:
        pytest.skip("needs isolation")
    code = """
import socket
for family, kind in (40, socket.SOCK_STREAM), (38, 5), (socket.AF_INET, socket.SOCK_STREAM):
    try:
        socket.socket(family, kind)
        print("opened")
    except OSError as error:
        print(type(error).__name__)
"""
    allowed = "PermissionError" if own_network and kind is IsolationKind.LANDLOCK else "opened"
    found = run(kind, code, own_network=own_network).stdout.split()
    assert found == ["PermissionError", "PermissionError", allowed]


def test_links_lead_to_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "real/bin").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    files = file_list([tmp_path / "link/bin", tmp_path / "real/bin", tmp_path / "missing"], [(tmp_path, "/opt/ml")])
    real = str(tmp_path / "real/bin")
    assert files == [
        ("writable", str(tmp_path), "/opt/ml"),
        ("link", "real", str(tmp_path / "link")),
        ("readable", real, real),
    ]
