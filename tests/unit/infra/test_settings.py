import json
import re
from pathlib import Path
from typing import Any

import pytest

from app import context_of
from contract.problems import InvalidInputError
from embedded.cdk.synth import SynthesisError, synthesize
from infra.settings import CONTEXT_KEY, AppSettings, VpcSettings, settings_from_context

ROOT = Path(__file__).resolve().parents[3]


def context(**overrides: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    return {**found, **{f"fleetscore.{name}": value for name, value in overrides.items()}}


def problems(found: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidInputError) as raised:
        settings_from_context(found)
    return {problem.field: str(problem) for problem in raised.value.problems}


def test_the_settings_in_cdk_json_are_valid() -> None:
    settings = settings_from_context(context())
    assert settings.stage == "dev"
    assert settings.removal == "retain"
    assert settings.account is None


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z_.]+)`", text, flags=re.MULTILINE))
    settings = context()[CONTEXT_KEY]
    wanted = {name for name in settings if name not in ("//", "compute", "vpc")}
    wanted |= {f"compute.{name}" for name in settings["compute"]}
    wanted |= {"vpc.subnet_ids", "vpc.security_group_ids"}
    assert documented == wanted


def test_all_problems_are_reported_together() -> None:
    found = problems(
        context(
            stage="Prod_1",
            removal="keep",
            log_retention_days="42",
            record_days="0",
            default_max_concurrency="many",
            compared_checksums="some",
            image_uri="scoring:latest",
            colour="blue",
        )
    )
    assert set(found) == {
        "stage",
        "removal",
        "log_retention_days",
        "record_days",
        "default_max_concurrency",
        "compared_checksums",
        "image_uri",
        "colour",
    }
    assert "Prod_1" in found["stage"]
    assert "Known fields: stage" in found["colour"]


@pytest.mark.parametrize("stage", ["", "1st", "dev-", "-dev", "dev-2", "Dev", "dev_1", "a" * 17, "dev.1"])
def test_an_invalid_stage_name_is_refused(stage: str) -> None:
    assert set(problems(context(stage=stage))) == {"stage"}


def test_an_account_needs_a_region() -> None:
    assert set(problems(context(account="123456789012"))) == {"account"}


def test_nothing_expires_that_a_running_or_redriven_execution_needs() -> None:
    found = problems(context(record_days=378, predictions_expiry_days=90, executions_expiry_days=364))
    assert set(found) == {"record_days", "predictions_expiry_days", "executions_expiry_days"}
    assert "got 378, expected at least 379 days" in found["record_days"]
    assert "smaller execution_days (now 365)" in found["record_days"]
    assert set(problems(context(execution_days=366))) == {"execution_days", "record_days"} - {"record_days"}
    shorter = context(execution_days=30, record_days=44, predictions_expiry_days=30, executions_expiry_days=30)
    assert settings_from_context(shorter).execution_days == 30


def test_text_overrides_become_numbers_lists_and_null() -> None:
    settings = settings_from_context(
        context(
            stage="prod",
            execution_days="16",
            record_days="30",
            image_uri="null",
            account="123456789012",
            region="eu-central-1",
            **{
                "compute.instance_type": "ml.c5.4xlarge",
                "vpc.subnet_ids": '["subnet-0123456789abcdef0"]',
                "vpc.security_group_ids": '["sg-0123456789abcdef0"]',
            },
        )
    )
    assert settings.record_days == 30
    assert settings.image_uri is None
    assert settings.account == "123456789012"
    assert settings.compute.instance_type == "ml.c5.4xlarge"
    assert settings.compute.instance_count == 1
    assert settings.vpc == VpcSettings(("subnet-0123456789abcdef0",), ("sg-0123456789abcdef0",))


def test_an_override_leaves_the_context_unchanged() -> None:
    found = context(**{"compute.instance_type": "ml.c5.4xlarge"})
    settings_from_context(found)
    assert found[CONTEXT_KEY]["compute"]["instance_type"] == "ml.m5.xlarge"


def test_every_compute_setting_is_required() -> None:
    found = context()
    del found[CONTEXT_KEY]["compute"]["volume_size_gb"]
    assert set(problems(found)) == {"compute.volume_size_gb"}


def test_a_setting_below_a_plain_value_is_refused() -> None:
    assert set(problems(context(**{"stage.name": "dev"}))) == {"stage.name"}


def test_vpc_ids_are_checked() -> None:
    found = context()
    found[CONTEXT_KEY]["vpc"] = {"subnet_ids": ["net-1"], "security_group_ids": []}
    assert set(problems(found)) == {"vpc.subnet_ids[0]", "vpc.security_group_ids"}


def test_a_missing_context_key_names_cdk_json() -> None:
    assert "cdk.json" in problems({})[CONTEXT_KEY]


def test_the_image_repository_is_derived_from_the_image_uri() -> None:
    settings: AppSettings = settings_from_context(
        context(image_uri="210987654321.dkr.ecr.eu-central-1.amazonaws.com/team/scoring@sha256:" + "0" * 64)
    )
    assert settings.image_repository_arn() == "arn:aws:ecr:eu-central-1:210987654321:repository/team/scoring"


def test_problems_of_image_variants_are_reported() -> None:
    uri = "210987654321.dkr.ecr.eu-central-1.amazonaws.com/torch:2.13"
    settings = settings_from_context(context(image_variants='["core", "pytorch"]', image_uris={"pytorch": uri}))
    assert settings.image_variants == ("core", "pytorch")
    assert settings.named_image("pytorch") == uri
    assert settings.image_repository_arn("pytorch") == "arn:aws:ecr:eu-central-1:210987654321:repository/torch"
    assert "including 'core'" in problems(context(image_variants='["pytorch"]'))["image_variants"]
    assert "each variant once" in problems(context(image_variants='["core", "core"]'))["image_variants"]
    assert "jax" in problems(context(image_variants='["core", "jax"]'))["image_variants[1]"]
    assert "Add them to image_variants" in problems(context(image_uris={"pytorch": uri}))["image_uris"]
    assert "named by image_uri" in problems(context(image_uris={"core": uri}))["image_uris"]
    found = problems(context(image_variants='["core", "pytorch"]', image_uris={"pytorch": "torch:latest"}))
    assert set(found) == {"image_uris.pytorch"}


def test_problems_of_all_upload_rules_are_reported_together() -> None:
    found = problems(
        context(
            uploads=[
                {"dataset": "orders", "mode": "window"},
                {"dataset": "UPPER", "mode": "marker", "window_seconds": 5},
                {"dataset": "flights", "mode": "whenever"},
                {"dataset": "ads", "mode": "window", "window_seconds": 0, "request": {"dataset": "x", "modles": 3}},
            ]
        )
    )
    assert set(found) == {
        "uploads[0].window_seconds",
        "uploads[1].dataset",
        "uploads[1].window_seconds",
        "uploads[2].mode",
        "uploads[3].window_seconds",
        "uploads[3].request.dataset",
        "uploads[3].request.modles",
    }


def test_requests_of_triggers_are_checked_like_those_of_the_command() -> None:
    large = {"models": [f"model-{number:06d}" for number in range(16_000)]}
    token = {"task_token": "AQC1"}
    found = problems(
        context(
            schedules=[
                {"name": "large", "expression": "rate(1 day)", "request": large},
                {"name": "waiting", "expression": "rate(1 day)", "request": token, "time_zone": "right/UTC"},
            ],
            uploads=[{"dataset": "orders", "mode": "marker", "request": {**token, "resume": "nightly-1"}}],
        )
    )
    assert set(found) == {
        "schedules[0].request.size",
        "schedules[1].request.task_token",
        "schedules[1].time_zone",
        "uploads[0].request.task_token",
        "uploads[0].request.resume",
    }
    assert "AQC1" not in str(found)


def test_the_schedules_of_a_stage_fit_into_a_template_together() -> None:
    request = {"models": [f"model-{number:06d}" for number in range(13_000)]}
    many = [{"name": f"s{number}", "expression": "rate(1 day)", "request": request} for number in range(3)]
    assert "a template has at most 1 MB" in problems(context(schedules=many))["schedules"]
    assert len(settings_from_context(context(schedules=many[:2])).schedules) == 2


def test_upload_rules_have_unique_datasets_and_a_size_limit() -> None:
    rule = {"dataset": "orders", "mode": "marker"}
    assert "one entry per dataset" in problems(context(uploads=[rule, rule]))["uploads"]
    many = [{"dataset": f"orders-{number}", "mode": "marker"} for number in range(100)]
    assert "at most 3,000 bytes" in problems(context(uploads=many))["uploads"]
    settings = settings_from_context(context(uploads='[{"dataset": "a", "mode": "window", "window_seconds": 60}]'))
    assert [(item.dataset, item.window_seconds) for item in settings.uploads] == [("a", 60)]


def test_upload_rules_do_not_hide_problems_of_other_settings() -> None:
    rule = {"dataset": "orders", "mode": "marker"}
    found = problems(context(uploads=[rule, rule], default_max_concurrency="many"))
    assert set(found) == {"uploads", "default_max_concurrency"}


def test_repeated_names_in_settings_are_refused(tmp_path: Path) -> None:
    """Parsers of JSON take the last of them, which hides the other."""
    assert "got '{" in problems(context(compute='{"instance_count": 1, "instance_count": 2}'))["compute"]
    file = tmp_path / "cdk.json"
    file.write_text('{"context": {"fleetscore": {"schedules": [{"name": "a", "name": "b"}]}}}')
    with pytest.raises(InvalidInputError, match=r"cdk.json.*the name 'name' twice"):
        context_of(file)


def test_the_app_prints_problems_of_settings_without_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError) as refused:
        synthesize(ROOT / "app.py", tmp_path / "out", {"fleetscore.base_image": "python:3.12"})
    headline, *lines = str(refused.value).splitlines()
    assert headline.endswith("app.py did not synthesize (exit status 1):")
    assert lines[0] == "settings has 1 problem:"
    assert lines[1].startswith("  - base_image: got 'python:3.12', expected an image with its digest")
    assert len(lines) == 2


def test_a_base_image_is_named_by_digest() -> None:
    base = "registry.example.com:5000/mirror/python@sha256:" + "0" * 64
    assert settings_from_context(context(base_image=base)).base_image == base
    assert "with its digest" in problems(context(base_image="python:3.12.12-slim-bookworm"))["base_image"]


def test_the_stages_own_instance_type_is_allowed() -> None:
    found = problems(context(instance_types='["ml.c5.*"]'))
    assert "expected an instance type that this stage allows: ml.c5.*" in found["compute.instance_type"]
    assert "patterns of instance types" in problems(context(instance_types='["m5.xlarge"]'))["instance_types[0]"]
    assert "patterns of instance types" in problems(context(instance_types="[]"))["instance_types"]
    many = json.dumps([f"ml.m5.{number}xlarge" for number in range(150)])
    assert "at most 2,000 bytes" in problems(context(instance_types=many))["instance_types"]
