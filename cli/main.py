"""Entry point of `fleetscore`: reads the words, runs the command, turns errors into sentences and exit statuses."""

import sys
import traceback
from collections.abc import Sequence

from cli.commands.arguments import build_parser
from cli.failures import ExitStatus, describe
from cli.output import Output
from cli.stage.connection import Connection


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    options = build_parser().parse_args(arguments)
    connection = Connection(options.endpoint_url, options.profile, options.region)
    output = Output(as_json=options.json)
    try:
        return int(options.handler(options, connection, output))
    except KeyboardInterrupt:
        return int(ExitStatus.INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has seen enough.
        sys.stderr.close()
        return int(ExitStatus.SUCCEEDED)
    except Exception as error:
        known = describe(error)
        if known is None:
            raise
        if options.debug:
            traceback.print_exc()
        text, status = known
        output.notice(f"fleetscore: {text}")
        return int(status)


if __name__ == "__main__":
    sys.exit(main())
