"""Random policies of roles and resources."""

from typing import Any

from hypothesis import strategies as st

ACCOUNT = "000000000000"
ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/session"
KEYS = {
    "aws:PrincipalArn": [ARN, "arn:aws:sts::*", "other"],
    "aws:PrincipalTag/team": ["a", "b"],
    "aws:RequestedRegion": ["us-east-1", "eu-*"],
    "aws:ResourceAccount": [ACCOUNT, "999999999999"],
    "aws:SecureTransport": ["true", "false"],
    "aws:SourceIp": ["127.0.0.1", "10.0.0.0/8"],
    "aws:TagKeys": ["true", "x"],
    "dynamodb:LeadingKeys": ["a*", "b", "a1", "['a1', 'b']", 1],
    "s3:prefix": ["a/*", "a/b", "b/", "", True],
}
OPERATORS = [
    "StringEquals", "stringequals", "StringNotEquals", "StringLike", "StringLikeIfExists", "ForAllValues:StringLike",
    "ForAllValues:StringEquals", "ForAnyValue:StringNotLike", "ArnLike", "Bool", "IpAddress", "NotIpAddress", "Null",
    "Unknown",
]  # fmt: skip
ACTIONS = ["s3:GetObject", "s3:ListBucket", "dynamodb:PutItem"]
RESOURCES = ["arn:aws:s3:::b/a/x", "arn:aws:s3:::b/é\n", "arn:aws:s3:::b", "arn:aws:dynamodb:us-east-1:0:table/t", "*"]

some = st.sampled_from
texts = st.lists(some(["*", "s3:*", "S3:getobject", "s3:?istBucket", "dynamodb:PutItem", "s3:Get.*"]), max_size=2)
patterns = st.lists(
    some(["*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/?/x", "arn:aws:s3:::b", "arn:aws:s3:::B*", "*table/t"]), max_size=2
)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 2))):
        key = draw(some(sorted(KEYS)))
        values = draw(st.lists(some(KEYS[key]), min_size=1, max_size=2))
        found[draw(some(OPERATORS))] = {draw(some([key, key.lower()])): values if draw(st.booleans()) else values[0]}
    return found


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "Effect": draw(some(["Allow", "Allow", "Deny"])),
        draw(some(["Action", "Action", "NotAction"])): draw(texts) or "*",
        draw(some(["Resource", "Resource", "NotResource"])): draw(patterns) or "*",
        **({"Condition": found} if (found := draw(conditions())) else {}),
    }


@st.composite
def resource_statements(draw: st.DrawFn) -> dict[str, Any]:
    role = f"arn:aws:iam::{ACCOUNT}:role/reader"
    principals = [
        "*", {"AWS": "*"}, {"AWS": role}, {"AWS": [ACCOUNT]}, {"AWS": "arn:aws:iam::1:root"}, {"Service": "s3.aws"}
    ]  # fmt: skip
    return {**draw(statements()), "Principal": draw(some(principals))}


documents = st.lists(statements(), max_size=3)
