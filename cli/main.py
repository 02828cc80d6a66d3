"""Entry point of `fleetscore`."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

_EXPORTING_COMMAND = "up"
"""The command whose output a shell evaluates: `eval "$(fleetscore up)" && fleetscore run`."""
_FAILURE = "false"
"""Shell command that fails. Without this command, `eval` of no output would succeed, and the
shell would still use its earlier account."""
_OPTIONS_WITH_VALUE = frozenset({"--stage", "--profile", "--region", "--endpoint-url"})
"""Global options that take a value.

They are repeated here, because the import of `command_line` may fail.
"""
_INTERRUPTED = 130
"""`ExitStatus.INTERRUPTED`, repeated for the same reason."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not _is_evaluated(words):
        return _run(words)
    status: int | None = None
    try:
        with ended_by_signals():
            status = _run(words)
        return status
    finally:
        if status != 0:
            with suppress(OSError, ValueError):
                sys.stdout.write(_FAILURE + "\n")
                sys.stdout.flush()


def _run(words: Sequence[str]) -> int:
    try:
        # Imported here, because an import may fail or be interrupted too.
        from cli.command_line.program import run  # noqa: PLC0415

        return run(words)
    except KeyboardInterrupt:
        return _INTERRUPTED


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end the block like Ctrl-C, so that cleanup runs."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # An ignored signal, such as SIGHUP below `nohup`, stays ignored.
    handled = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_evaluated(words: Sequence[str]) -> bool:
    """Return whether the command is `up`, even if its command line is wrong."""
    rest = iter(words)
    for word in rest:
        if word in _OPTIONS_WITH_VALUE:
            next(rest, None)
        elif not word.startswith("-"):
            return word == _EXPORTING_COMMAND
    return _EXPORTING_COMMAND in words


if __name__ == "__main__":
    sys.exit(main())
