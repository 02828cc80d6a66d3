"""Click classes of the command: groups, lazy loading, suggestions, and help screens."""

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, TypeVar

import rich_click as click
from click import Command as PlainCommand
from click.exceptions import BadOptionUsage, NoSuchCommand, NoSuchOption
from rich.columns import Columns
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich_click import RichCommand, RichContext, RichGroup, RichHelpConfiguration, RichHelpFormatter
from rich_click.rich_help_rendering import RichPanelRow
from rich_click.rich_panel import RichCommandPanel, RichOptionPanel

from cli.command_line.invocation import DEFAULT_STAGE
from cli.failures import ExitStatus

F = TypeVar("F", bound=Callable[..., Any])

PROGRAM = "fleetscore"
GLOBAL_OPTIONS = "Global options"
_MAX_WIDTH = 100
_STYLE = RichHelpConfiguration(
    theme="default-slim",
    enable_theme_env_var=False,
    max_width=_MAX_WIDTH,
    text_markup=None,
    commands_before_options=True,
    options_table_column_types=["opt_all_metavar", "help"],
    options_table_help_sections=["help", "required"],
)
CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "rich_help_config": _STYLE}


def global_options(*, hidden: bool) -> list[click.Parameter]:
    """Return the options that every command accepts, before or after the subcommand."""

    def option(*names: str, **settings: Any) -> click.Parameter:
        return click.RichOption(
            list(names), callback=_remember, expose_value=False, hidden=hidden, panel=GLOBAL_OPTIONS, **settings
        )

    return [
        option("--stage", metavar="STAGE", help=f"Deployment stage. Default: {DEFAULT_STAGE}."),
        option("--profile", metavar="NAME", help="Profile of the AWS configuration."),
        option("--region", metavar="REGION", help="AWS Region."),
        option("--endpoint-url", metavar="URL", help="Address of the AWS APIs."),
        option("--json", is_flag=True, flag_value=True, default=None, help="Print data as JSON, and nothing else."),
        option("--debug", is_flag=True, flag_value=True, default=None, help="Print the Python traceback of an error."),
    ]


def _remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Store a global option in the invocation; the last occurrence on the command line wins."""
    if value is not None and parameter.name is not None:
        setattr(ctx.obj, parameter.name, value)


class Argument(click.RichArgument):
    """A positional argument that the help screen lists under the name of the usage line."""

    def get_rich_table_row(
        self, ctx: RichContext, formatter: RichHelpFormatter, panel: RichOptionPanel | None = None
    ) -> RichPanelRow:
        name = self.make_metavar(ctx).strip("[]")
        help_text = Text(self.help or "", style=formatter.config.style_option_help)
        return [Text(name, style=formatter.config.style_option), Columns([help_text])]


def argument(name: str, *, metavar: str, help: str, **settings: Any) -> Callable[[F], F]:  # noqa: A002
    """Add a positional argument, as `click.argument` does, with a line in the help screen."""
    return click.argument(name, cls=Argument, metavar=metavar, help=help, **settings)


class _CheckedCommand(PlainCommand):
    """A command or group with better usage errors, and help without blanks at the ends of lines."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _usage_errors_of(ctx):
            _check_values(ctx, args)
            return super().parse_args(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        return _without_trailing_blanks(super().get_help(ctx))


class Command(_CheckedCommand, RichCommand):
    """A command whose help ends with examples, and which accepts the global options."""

    def __init__(self, *arguments: Any, examples: str = "", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.add_panel(RichOptionPanel("Arguments"))
        self.params += global_options(hidden=True)
        self.examples = inspect.cleandoc(examples)

    def format_epilog(self, ctx: RichContext, formatter: RichHelpFormatter) -> None:  # type: ignore[override]
        _write_examples(formatter, self.examples)
        _write_pointer(formatter)


class CommandGroup(_CheckedCommand, RichGroup):  # type: ignore[misc]  # of RichGroup itself
    """A group of commands, listed in sections, whose commands are imported when they are needed."""

    command_class = Command
    group_class = type

    def __init__(
        self,
        *arguments: Any,
        sections: Mapping[str, Sequence[str]] | None = None,
        modules: Mapping[str, str] | None = None,
        examples: str = "",
        top: bool = False,
        **settings: Any,
    ) -> None:
        """Create a group.

        Args:
            sections: names of the commands by section of the help screen, in order.
            modules: `module:attribute` of each command that another module defines, by the
                command's name.
            examples: command lines for the end of the help screen, one per line.
            top: whether this is the program itself, whose help lists the global options.
        """
        super().__init__(*arguments, **settings)
        self.params += global_options(hidden=not top)
        self.sections = sections or {}
        self.modules = modules or {}
        self.examples = inspect.cleandoc(examples)
        self.top = top
        for title, names in self.sections.items():
            self.add_panel(RichCommandPanel(title, commands=list(names)))

    def list_commands(self, ctx: click.Context) -> list[str]:
        listed = [name for names in self.sections.values() for name in names]
        return listed or list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.modules and cmd_name not in self.commands:
            module, _, attribute = self.modules[cmd_name].partition(":")
            self.add_command(getattr(importlib.import_module(module), attribute), cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise NoSuchCommand(args[0], message=_unknown(ctx, self, args[0]), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: RichContext, formatter: RichHelpFormatter) -> None:  # type: ignore[override]
        _write_examples(formatter, self.examples)
        if self.top:
            _write_exit_statuses(formatter)
        else:
            _write_pointer(formatter)


@contextmanager
def _usage_errors_of(ctx: click.Context) -> Iterator[None]:
    """Add the command to its usage errors, and a suggestion to the error for an unknown option."""
    try:
        yield
    except NoSuchOption as error:
        known = [name for parameter in ctx.command.get_params(ctx) for name in parameter.opts]
        meant = get_close_matches(error.option_name, known, n=1)
        hint = f" Did you mean `{meant[0]}`?" if meant else ""
        raise click.UsageError(f"No such option {error.option_name!r}.{hint}", ctx) from error
    except click.UsageError as error:
        error.ctx = error.ctx or ctx
        raise


def _check_values(ctx: click.Context, words: Sequence[str]) -> None:
    """Check that no option takes the next option as its value, and none with one value comes twice, as click allows.

    Raises:
        BadOptionUsage: naming the option.
    """
    options = {
        name: option for option in ctx.command.params if isinstance(option, click.Option) for name in option.opts
    }
    seen: set[str] = set()
    rest = iter(words)
    for word in rest:
        if word == "--" or not (word.startswith("-") or ctx.allow_interspersed_args):
            return
        name = word.partition("=")[0]
        option = options.get(name)
        if option is not None and not option.is_flag and not option.multiple:
            if name in seen:
                text = f"Option {name!r} has one value and is given more than once. Leave out all but one."
                raise BadOptionUsage(name, text, ctx)
            seen.add(name)
        if word not in options or options[word].is_flag or isinstance(options[word].flag_value, str):
            continue
        value = next(rest, "")
        if value.startswith("--") and " " not in value:
            hint = f"If {value!r} is the value, write {word}={value}."
            raise BadOptionUsage(word, f"Option {word!r} requires an argument. {hint}", ctx)


def _unknown(ctx: click.Context, group: CommandGroup, word: str) -> str:
    """Return the message for an unknown command, with the most similar commands as suggestions."""
    here = {name: f"{ctx.command_path} {name}" for name in group.list_commands(ctx)}
    everywhere: dict[str, list[str]] = {}
    for path, name in _paths(ctx.find_root(), PROGRAM):
        everywhere.setdefault(name, []).append(path)
    # A command of this name elsewhere is meant rather than a similar one here.
    meant = everywhere.get(word) or [here[name] for name in get_close_matches(word, here, n=1)]
    if not meant:
        meant = [path for name in get_close_matches(word, everywhere, n=1) for path in everywhere[name]]
    hint = f" Did you mean {' or '.join(f'`{path}`' for path in meant)}?" if meant else ""
    return f"No such command {word!r}.{hint}"


def _paths(ctx: click.Context, path: str, group: CommandGroup | None = None) -> Iterator[tuple[str, str]]:
    """Yield the full path and the name of every command below a group."""
    group = group if group is not None else ctx.command  # type: ignore[assignment]
    assert isinstance(group, CommandGroup)  # noqa: S101 - the root of every command line is a group
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        yield f"{path} {name}", name
        if isinstance(command, CommandGroup):
            yield from _paths(ctx, f"{path} {name}", command)


def _without_trailing_blanks(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines())


def _write_examples(formatter: RichHelpFormatter, examples: str) -> None:
    if examples:
        commands = [line for line in examples.splitlines() if not line.startswith(" ")]
        _write_block(formatter, "Example" if len(commands) == 1 else "Examples", Text(examples))


def _write_exit_statuses(formatter: RichHelpFormatter) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    for status in ExitStatus:
        table.add_row(str(status.value), status.meaning)
    _write_block(formatter, "Exit status", table)


def _write_pointer(formatter: RichHelpFormatter) -> None:
    """Write the line that refers to the list of global options."""
    _write_block(formatter, "", Text(f"Global options such as --stage and --json: {PROGRAM} --help", style="dim"))


def _write_block(formatter: RichHelpFormatter, title: str, content: RenderableType) -> None:
    """Write text or a table below a title, in the layout of the option tables."""
    if title:
        formatter.write(Text(f"{title}:", style="bold"))
    formatter.write(Padding(content, (0, 0, 1, 2 if title else 0)))
