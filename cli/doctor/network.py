"""The stage's VPC, if its jobs use one: addresses, security groups, and the way to S3."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from cli.doctor.findings import Check, Finding, Report, names
from cli.doctor.policies import statements_of
from cli.doctor.stage import DeployedStage, Network
from cli.failures import error_code
from contract.json_text import parse_json

_ADDRESSES_PER_INSTANCE = 2
_SETTINGS = "Correct vpc in cdk.json, and deploy again."


def network_checks(stage: DeployedStage) -> Iterator[Check]:
    network = stage.network
    if network is None:
        report = Report("network", "network of the jobs")
        yield Check("network", "network of the jobs", lambda: [report.ok("the stage uses no VPC")])
        return
    ec2 = stage.client("ec2")
    instances = stage.max_concurrency * int(stage.compute.instance_count or 1)
    yield Check("network.subnets", "subnets", partial(subnet_findings, ec2, network, instances))
    yield Check("network.groups", "security groups", partial(group_findings, ec2, network))
    yield Check("network.s3", "way to S3", partial(s3_findings, ec2, network, stage.region))


def subnet_findings(ec2: Any, network: Network, instances: int) -> Iterator[Finding]:
    """Check that the subnets exist, are in one VPC, and have two free addresses per instance."""
    report = Report("network.subnets", names(network.subnet_ids))
    try:
        subnets = ec2.describe_subnets(SubnetIds=list(network.subnet_ids))["Subnets"]
    except ClientError as error:
        if error_code(error) != "InvalidSubnetID.NotFound":
            raise
        yield report.error("a subnet does not exist: no job can start", _SETTINGS)
        return
    vpcs = {subnet["VpcId"] for subnet in subnets}
    if len(vpcs) > 1:
        yield report.error(f"the subnets are in several VPCs: {names(sorted(vpcs))}", _SETTINGS)
        return
    free = sum(subnet["AvailableIpAddressCount"] for subnet in subnets)
    needed = _ADDRESSES_PER_INSTANCE * instances
    found = f"{free:,} free addresses; {instances:,} instances at once need {needed:,}"
    remedy = "Add larger subnets to vpc.subnet_ids, or lower default_max_concurrency in cdk.json."
    if free < _ADDRESSES_PER_INSTANCE:
        yield report.error(f"{found}: no job can start", remedy)
    elif free < needed:
        yield report.warning(f"{found}: jobs without an address fail and are retried", remedy)
    else:
        yield report.ok(found)


def group_findings(ec2: Any, network: Network) -> Iterator[Finding]:
    """Check that the groups are in the subnets' VPC, and allow the traffic of jobs."""
    report = Report("network.groups", names(network.security_group_ids))
    try:
        groups = ec2.describe_security_groups(GroupIds=list(network.security_group_ids))["SecurityGroups"]
        subnets = ec2.describe_subnets(SubnetIds=list(network.subnet_ids))["Subnets"]
    except ClientError as error:
        if error_code(error) not in ("InvalidGroup.NotFound", "InvalidSubnetID.NotFound"):
            raise
        yield report.error("a security group or subnet does not exist: no job can start", _SETTINGS)
        return
    if {group["VpcId"] for group in groups} != {subnet["VpcId"] for subnet in subnets}:
        yield report.error("the groups are not in the VPC of the subnets", _SETTINGS)
        return
    ids = set(network.security_group_ids)
    if not any(_admits(group["IpPermissions"], ids) for group in groups):
        remedy = f"Add an inbound rule for all traffic whose source is the group itself ({names(sorted(ids))})."
        yield report.error("no group admits itself, so the instances of a job cannot reach each other", remedy)
    elif not any(group["IpPermissionsEgress"] for group in groups):
        yield report.error("no group has an outbound rule, so jobs cannot reach S3", "Allow HTTPS to S3's prefix list.")
    else:
        yield report.ok("admit themselves, and have an outbound rule")


def s3_findings(ec2: Any, network: Network, region: str) -> Iterator[Finding]:
    """Check that each subnet has a route to S3: an endpoint or a default route."""
    subnets = ec2.describe_subnets(SubnetIds=list(network.subnet_ids))["Subnets"]
    vpc = [{"Name": "vpc-id", "Values": sorted({subnet["VpcId"] for subnet in subnets})}]
    endpoints = [
        endpoint
        for endpoint in ec2.describe_vpc_endpoints(Filters=vpc)["VpcEndpoints"]
        if endpoint["ServiceName"].endswith(f".{region}.s3") and endpoint.get("State", "").lower() == "available"
    ]
    tables = ec2.describe_route_tables(Filters=vpc)["RouteTables"]
    for subnet in subnets:
        report = Report("network.s3", subnet["SubnetId"])
        table = _route_table(tables, subnet["SubnetId"])
        gateways = [found for found in endpoints if table and table["RouteTableId"] in found.get("RouteTableIds", ())]
        routes = [route for route in (table or {}).get("Routes", ()) if route.get("NatGatewayId")]
        if gateways and not _allows_all(gateways[0].get("PolicyDocument")):
            yield report.warning(
                f"the gateway endpoint {gateways[0]['VpcEndpointId']} has a policy of its own",
                "Check that it allows the stage's buckets and the bucket of ECR's layers "
                f"(prod-{region}-starport-layer-bucket).",
            )
        elif gateways:
            yield report.ok(f"reaches S3 by the gateway endpoint {gateways[0]['VpcEndpointId']}")
        elif any(found["VpcEndpointType"] == "Interface" for found in endpoints):
            yield report.ok("reaches S3 by an interface endpoint")
        elif routes:
            yield report.ok("reaches S3 by a NAT gateway; a gateway endpoint of S3 would cost nothing")
        else:
            yield report.error(
                "there is no way to S3: jobs cannot read their data",
                f"Create a gateway endpoint of com.amazonaws.{region}.s3 with the route table of the subnet.",
            )


def _route_table(tables: Sequence[Any], subnet_id: str) -> Any:
    """Return the subnet's own route table, or the main one of its VPC."""
    main = None
    for table in tables:
        for association in table.get("Associations", ()):
            if association.get("SubnetId") == subnet_id:
                return table
            if association.get("Main"):
                main = table
    return main


def _allows_all(policy: str | None) -> bool:
    """Return whether an endpoint's policy is the default one, which allows every request."""
    return not policy or any(
        (found.get("Action"), found.get("Resource")) == ("*", "*") and not found.get("Condition")
        for found in statements_of(parse_json(policy), "Allow")
    )


def _admits(permissions: Sequence[Any], group_ids: set[str]) -> bool:
    return any(pair.get("GroupId") in group_ids for rule in permissions for pair in rule.get("UserIdGroupPairs", ()))
