"""Output of the command: tables for people, or one JSON value and nothing else for programs."""

import sys
from typing import Any

from rich.console import Console, RenderableType

from contract.control_characters import replace_control_characters
from contract.json_text import dump_json

_WIDTH_WITHOUT_TERMINAL = 400
"""Width of a table in characters where there is no terminal, so that a pipe gets whole lines."""


class Output:
    """Standard output and standard error of one command."""

    def __init__(self, *, as_json: bool = False, console: Console | None = None) -> None:
        self.as_json = as_json
        self.console = console or _console()

    @property
    def terminal_width(self) -> int | None:
        """Return the terminal's width in characters; None where there is no terminal."""
        return self.console.width if self.console.is_terminal else None

    def data(self, value: Any, *renderables: RenderableType) -> None:
        """Print the value with --json, else the renderables."""
        if self.as_json:
            sys.stdout.write(dump_json(value, indent=2) + "\n")
            sys.stdout.flush()
            return
        self.show(*renderables)

    def json_line(self, value: Any) -> None:
        """Print a value as one line, for commands that print values while they wait for more."""
        sys.stdout.write(dump_json(value) + "\n")
        sys.stdout.flush()

    def show(self, *renderables: RenderableType) -> None:
        """Print renderables that accompany the data; nothing with --json."""
        if self.as_json:
            return
        for renderable in renderables:
            if isinstance(renderable, str):
                self.line(renderable)
            elif self.console.is_terminal:
                self.console.print(renderable)
            else:
                # Rich pads each cell to the width of its column, also the last one of a line.
                with self.console.capture() as captured:
                    self.console.print(renderable)
                lines = captured.get().splitlines()
                self.console.file.write("".join(f"{line.rstrip(' ')}\n" for line in lines))

    def line(self, text: str) -> None:
        """Print a line without markup, colours or line breaks, with control characters replaced."""
        if not self.as_json:
            self.console.print(
                replace_control_characters(text), markup=False, highlight=False, emoji=False, soft_wrap=True
            )

    def show_notice(self, *renderables: RenderableType) -> None:
        """Print renderables on standard error, also with --json."""
        Output(console=Console(stderr=True, highlight=False, width=self.terminal_width)).show(*renderables)

    def notice(self, text: str) -> None:
        """Print a message on standard error, so that standard output holds only data."""
        sys.stderr.write(replace_control_characters(text) + "\n")
        sys.stderr.flush()


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)
