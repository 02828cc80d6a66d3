"""Entry point of `fleetscore`."""

import sys
from collections.abc import Sequence
from contextlib import suppress

_EXPORTING_COMMAND = "up"
"""The command whose output a shell evaluates: `eval "$(fleetscore up)" && fleetscore run`."""
_FAILURE = "false"
"""Shell command that fails. Without it, `eval` of no output would succeed, and the shell would go on with the
account that it used before."""
_OPTIONS_WITH_VALUE = frozenset({"--stage", "--profile", "--region", "--endpoint-url"})
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    status: int | None = None
    try:
        # Imported here, because an import may fail or be interrupted too.
        from cli.program import run  # noqa: PLC0415

        status = run(words)
        return status
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        if status != 0 and _is_evaluated(words):
            with suppress(OSError, ValueError):
                sys.stdout.write(_FAILURE + "\n")
                sys.stdout.flush()


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
