"""One invocation of the command: its global options, and the connection and output they select."""

from dataclasses import dataclass
from functools import cached_property

from cli.command_line.output import Output
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment, find_deployment

DEFAULT_STAGE = "dev"


@dataclass
class Invocation:
    """The global options, filled in while the command line is parsed."""

    endpoint_url: str | None = None
    profile: str | None = None
    region: str | None = None
    stage: str = DEFAULT_STAGE
    json: bool = False
    debug: bool = False

    @cached_property
    def connection(self) -> Connection:
        return Connection(self.endpoint_url, self.profile, self.region)

    @cached_property
    def output(self) -> Output:
        return Output(as_json=self.json)

    def changed_deployment(self) -> Deployment:
        """Find the resources of the stage, and print the account and Region to be changed.

        Raises:
            CommandError: when the stage's stacks do not exist.
        """
        deployment = self.deployment()
        self.announce(deployment.state_machine_arn)
        return deployment

    def announce(self, arn: str) -> None:
        """Print account, Region and address to standard error; `arn` names the account."""
        self.output.notice(f"Stage {self.stage} in {self.connection.description(arn.split(':')[4])}")

    def deployment(self) -> Deployment:
        """Find the resources of the stage.

        Raises:
            CommandError: when the stage's stacks do not exist.
        """
        return find_deployment(self.connection, self.stage)
