"""`fleetscore resources`: the names that CloudFormation gave to a stage's buckets, table and state machine."""

from argparse import Namespace

from cli.failures import ExitStatus
from cli.output import Output
from cli.stage.connection import Connection
from cli.stage.deployment import find_deployment
from cli.views.tables import fields_table


def resources(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    """All of them, or the bare value of one, for use in other commands."""
    names = vars(find_deployment(connection, options.stage))
    if options.name is None:
        output.data(names, fields_table(names))
    else:
        output.data(names[options.name], names[options.name])
    return ExitStatus.SUCCEEDED
