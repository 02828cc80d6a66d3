"""Names of schedules that the next deployment wants to create, but others have taken."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cli.doctor.findings import Check, Finding, Report
from cli.doctor.stage import DeployedStage
from cli.documents.settings_file import SETTINGS_FILE, schedules_to_deploy


def schedule_checks(stage: DeployedStage) -> Iterator[Check]:
    yield Check("schedules.names", SETTINGS_FILE, partial(name_findings, stage, Path.cwd()))


def name_findings(stage: DeployedStage, folder: Path) -> Iterator[Finding]:
    """Compare the schedules that `cdk.json` in a folder declares with those that exist.

    CloudFormation creates a schedule only if its name is free, and else rolls the stack back.
    """
    report = Report("schedules.names", SETTINGS_FILE)
    declared = schedules_to_deploy(folder)
    if not declared:
        yield report.ok(f"no {SETTINGS_FILE} in this folder declares schedules")
        return
    deployed = {resource.physical_id for resource in stage.of_type("AWS::Scheduler::Schedule")}
    group = stage.triggers["ScheduleGroup"]
    pages = stage.client("scheduler").get_paginator("list_schedules").paginate(GroupName=group)
    existing = {str(item["Name"]) for page in pages for item in page["Schedules"]}
    taken = [name for name in declared if name in existing - deployed]
    for name in taken:
        yield Report("schedules.names", name).error(
            f"{SETTINGS_FILE} declares this schedule, but one of the name exists that no deployment has made, so the "
            "next deployment would be rolled back",
            f"Remove it with `fleetscore schedules remove {name}`, or rename it in {SETTINGS_FILE}.",
        )
    if not taken:
        yield report.ok(f"the names of all {len(declared):,} are free or deployed")
