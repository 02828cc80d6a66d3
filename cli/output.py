"""Where the command prints: tables for people, or one JSON value for programs and nothing else on stdout."""

import json
import sys
from typing import Any

from rich.console import Console, RenderableType

_WIDTH_WITHOUT_TERMINAL = 400
"""A pipe has no width: a table must not be squeezed or cut for it."""


class Output:
    """Standard output and standard error of one command."""

    def __init__(self, *, as_json: bool = False, console: Console | None = None) -> None:
        self.as_json = as_json
        self.console = console or _console()

    def data(self, value: Any, *renderables: RenderableType) -> None:
        """Print the value as JSON when that was asked for, else what people read."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
            sys.stdout.flush()
            return
        self.show(*renderables)

    def show(self, *renderables: RenderableType) -> None:
        """Print what people read beside the data; nothing where that is JSON."""
        if self.as_json:
            return
        for renderable in renderables:
            if isinstance(renderable, str):
                self.line(renderable)
            else:
                self.console.print(renderable)

    def line(self, text: str) -> None:
        """Print a line as it is: no markup, no colours, no line breaks of our own."""
        if not self.as_json:
            self.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def notice(self, text: str) -> None:
        """Say something beside the data, on standard error."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)
