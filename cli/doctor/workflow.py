"""The state machines, functions, their layer, and the rules that connect them."""

from collections.abc import Iterator
from functools import partial

from botocore.exceptions import ClientError

from cli.doctor.findings import Check, Finding, Report, is_denied, names
from cli.doctor.stage import DeployedStage
from cli.failures import error_code
from contract import environment
from contract.json_text import parse_json

_DEPLOY = "Deploy the stage again with `cdk deploy --all`; if nothing changes, restore it by hand."


def workflow_checks(stage: DeployedStage) -> Iterator[Check]:
    yield Check("workflow.machines", "state machines", partial(machine_findings, stage))
    yield Check("workflow.functions", "functions", partial(function_findings, stage))
    for arn in sorted({layer["Arn"] for found in stage.functions.values() for layer in found.get("Layers", ())}):
        yield Check("workflow.layer", arn, partial(layer_findings, stage, arn))
    for resource in stage.of_type("AWS::Events::Rule"):
        yield Check("workflow.rules", resource.logical_id, partial(rule_findings, stage, resource.physical_id))


def machine_findings(stage: DeployedStage) -> Iterator[Finding]:
    arns = {"scoring": stage.deployment.state_machine_arn, "training": stage.deployment.training_state_machine_arn}
    for kind, arn in arns.items():
        report = Report("workflow.machines", arn)
        machine = stage.machines.get(kind)
        if machine is None:
            yield report.error("the state machine does not exist", _DEPLOY)
        elif machine.get("status") != "ACTIVE":
            yield report.error(f"the state machine is {machine.get('status')}", _DEPLOY)
        elif machine.get("encryptionConfiguration", {}).get("kmsKeyId") != stage.key_arn:
            yield report.error("executions are not encrypted with the stage's key", _DEPLOY)
        elif machine.get("loggingConfiguration", {}).get("level") != "ALL":
            yield report.warning("not every event is logged", _DEPLOY)
        elif machine.get("loggingConfiguration", {}).get("includeExecutionData"):
            yield report.warning("logs include requests and failure texts, which may reveal data", _DEPLOY)
        else:
            yield report.ok("active, encrypted with the stage's key, and logged without data")


def function_findings(stage: DeployedStage) -> Iterator[Finding]:
    for resource in stage.missing:
        report = Report("workflow.functions", resource.physical_id)
        yield report.error("the function does not exist", _DEPLOY)
    for name, found in sorted(stage.functions.items()):
        report = Report("workflow.functions", name)
        state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
        reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or "no reason is given"
        # After two weeks without a call, Lambda reports a function as inactive; the next call wakes
        # it.
        if state not in ("Active", "Inactive") or update == "Failed":
            yield report.error(f"state {state}, last update {update}: {reason}", _DEPLOY)
        else:
            yield report.ok(f"{state.lower()}, {found.get('Runtime')}")


def layer_findings(stage: DeployedStage, arn: str) -> Iterator[Finding]:
    """Check that the version of a layer exists. Lambda refuses to show a version that does not."""
    report = Report("workflow.layer", arn)
    client = stage.client("lambda")
    remedy = (
        "Set powertools_layer_arn in cdk.json to a version that your Region has "
        "(https://docs.aws.amazon.com/powertools/python/latest/getting-started/install/), and deploy again."
    )
    try:
        found = client.get_layer_version_by_arn(Arn=arn)
    except ClientError as error:
        if is_denied(error):
            denied = "Lambda does not show it: the version does not exist, or you may not call lambda:GetLayerVersion"
            yield report.error(denied, f"{remedy} Or allow lambda:GetLayerVersion on it.")
            return
        if error_code(error) != "ResourceNotFoundException":
            raise
        yield report.error("the version does not exist", remedy)
        return
    runtime = next(iter(stage.functions.values())).get("Runtime", "")
    runtimes = found.get("CompatibleRuntimes") or [runtime]
    if runtime not in runtimes:
        yield report.error(f"it is made for {names(runtimes)}, and functions use {runtime}", remedy)
    else:
        yield report.ok(f"exists, version {found.get('Version')}")


def rule_findings(stage: DeployedStage, name: str) -> Iterator[Finding]:
    """Check that a rule is on and has a target.

    The rule of uploads is on while a setting names a dataset.
    """
    report = Report("workflow.rules", name)
    bus, _, rule = name.rpartition("|")
    events = stage.client("events")
    place = {"EventBusName": bus} if bus else {}
    try:
        found = events.describe_rule(Name=rule, **place)
    except events.exceptions.ResourceNotFoundException:
        yield report.error("the rule does not exist", _DEPLOY)
        return
    targets = events.list_targets_by_rule(Rule=rule, **place)["Targets"]
    is_for_uploads = '"aws.s3"' in found.get("EventPattern", "")
    is_wanted = not is_for_uploads or bool(_upload_rules(stage))
    if found.get("State") == "DISABLED" and is_wanted:
        yield report.error("the rule is disabled", f"Run `aws events enable-rule --name {rule}`.")
    elif not targets:
        yield report.error("the rule has no target", _DEPLOY)
    elif not is_wanted:
        yield report.ok("off, because the setting uploads is empty")
    else:
        yield report.ok("on, with a target")


def _upload_rules(stage: DeployedStage) -> object:
    return parse_json(stage.variable("start_on_upload", environment.UPLOADS))
