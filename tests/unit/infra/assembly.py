"""Reads the templates that a synthesis wrote."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

Template = dict[str, Any]
_HASH = re.compile(r"[0-9A-F]{8}$")


@dataclass(frozen=True)
class Assembly:
    """The cloud assembly of one stage."""

    stage: str
    directory: Path

    def template(self, stack: str) -> Template:
        text = (self.directory / f"fleetscore-{self.stage}-{stack}.template.json").read_text(encoding="utf-8")
        parsed: Template = json.loads(text)
        return parsed

    @property
    def templates(self) -> dict[str, Template]:
        return {stack: self.template(stack) for stack in ("storage", "compute", "workflow", "triggers")}

    def resources(self, stack: str, kind: str) -> dict[str, Any]:
        """Return the properties of all resources of a type, by logical id without its hash."""
        found = self.template(stack)["Resources"].items()
        return {_HASH.sub("", name): item["Properties"] for name, item in found if item["Type"] == kind}

    def statements(self) -> list[tuple[str, dict[str, Any]]]:
        """Return every policy statement of all roles, each with `<stack>/<policy>`."""
        return [
            (f"{stack}/{name}", statement)
            for stack in self.templates
            for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
            for name, properties in self.resources(stack, kind).items()
            for statement in properties["PolicyDocument"]["Statement"]
        ]

    @cached_property
    def definition(self) -> dict[str, Any]:
        return self._definition("StateMachine")

    @cached_property
    def training_definition(self) -> dict[str, Any]:
        return self._definition("TrainingStateMachine")

    def _definition(self, name: str) -> dict[str, Any]:
        machine = self.resources("workflow", "AWS::StepFunctions::StateMachine")[name]
        parsed: dict[str, Any] = json.loads(flat(machine["DefinitionString"]))
        return parsed


def flat(value: Any) -> str:  # noqa: PLR0911 - one line per function
    """Render a template value as text, with readable placeholders in place of references."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        return str(argument[0]).join(flat(item) for item in argument[1])
    if function == "Fn::ImportValue":
        return f"<{flat(argument)}>"
    if function == "Fn::Sub":
        return str(argument)
    if function == "Ref":
        return "aws" if argument == "AWS::Partition" else f"<{_HASH.sub('', argument)}>"
    if function == "Fn::GetAtt":
        return f"<{_HASH.sub('', argument[0])}.{argument[1]}>"
    return json.dumps(value)


def states_of(definition: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return all states by name, including those of the Map's children."""
    found = dict(definition["States"])
    for state in definition["States"].values():
        if "ItemProcessor" in state:
            found |= state["ItemProcessor"]["States"]
    return found
