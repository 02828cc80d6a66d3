"""Everything at rest is encrypted with the stage's key, except what the security page lists."""

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

from tests.unit.infra.assembly import Assembly

PAGE = Path(__file__).resolve().parents[4] / "docs/operate/security.md"

WITHOUT_KEY = {"AWS::Lambda::EventSourceMapping"}
"""Types that could take the key, and whose content the security page says to be no data."""
KEY = "-KeyArn"


def encryption_parameters(resource_type: str) -> set[str]:
    """Return the properties of a CloudFormation type that take a key, from aws-cdk-lib."""
    _, service, name = resource_type.split("::")
    construct = getattr(importlib.import_module(f"aws_cdk.aws_{service.lower()}"), f"Cfn{name}")
    words = ("kms", "encryption", "sse_")
    return {
        parameter.replace("_", "")
        for parameter in inspect.signature(construct.__init__).parameters
        if any(word in f"{parameter}_" for word in words)
    }


def resources(found: Assembly) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (name, resource["Type"], resource.get("Properties", {}))
        for template in found.templates.values()
        for name, resource in template["Resources"].items()
        if resource["Type"].count("::") == 2 and not resource["Type"].startswith("AWS::KMS::")
    ]


def is_encrypted(resource_type: str, properties: dict[str, Any]) -> bool:
    names = encryption_parameters(resource_type)
    values = [value for name, value in properties.items() if name.lower() in names]
    return any(KEY in text or '"Key' in text for text in map(json.dumps, values))


def test_every_resource_that_takes_a_key_has_the_stages(assembly: Assembly, automated: Assembly) -> None:
    for found in (assembly, automated):
        unencrypted = {
            f"{kind} {re.sub('[0-9A-F]{8}$', '', name)}"
            for name, kind, properties in resources(found)
            if encryption_parameters(kind) and not is_encrypted(kind, properties) and kind not in WITHOUT_KEY
        }
        # S3 delivers no access logs to a bucket that is encrypted with a key of the account.
        assert unencrypted == {"AWS::S3::Bucket AccessLogs"}


def test_the_security_page_names_every_type_that_takes_a_key(automated: Assembly) -> None:
    text = PAGE.read_text(encoding="utf-8")
    kinds = {kind for _, kind, _ in resources(automated) if encryption_parameters(kind)}
    assert len(kinds) >= 8
    assert {kind for kind in kinds if f"`{kind}`" not in text} == set()


def test_every_grant_of_the_key_is_limited_to_services_or_one_context(assembly: Assembly, automated: Assembly) -> None:
    for found in (assembly, automated):
        grants = [
            (name, json.dumps(statement.get("Condition", {})))
            for name, statement in found.statements()
            if "kms:" in json.dumps(statement["Action"])
        ]
        assert len(grants) > 15
        assert [name for name, text in grants if "kms:ViaService" not in text and "EncryptionContext" not in text] == []
