"""The locks pin the same versions for the command, the tests and the images."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def pins(name: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE)
    assert found
    return dict(found)


def test_image_installs_the_versions_that_the_embedded_aws_runs() -> None:
    root, image = pins("requirements.txt"), pins("inference_container/requirements.txt")
    assert {name: root.get(name) for name in image} == image


def test_the_example_for_batch_installs_the_clients_that_the_tests_run() -> None:
    root, example = pins("requirements.txt"), pins("examples/extend/batch/requirements.txt")
    assert {name: root.get(name) for name in example} == example


def test_tests_run_on_the_versions_that_users_get() -> None:
    root, test = pins("requirements.txt"), pins("requirements-test.txt")
    assert {name: test.get(name) for name in root} == root


@pytest.mark.parametrize("variant", ["trees", "tensorflow", "pytorch", "core-gpu", "tensorflow-gpu"])
def test_image_variants_keep_the_versions_of_the_core_image(variant: str) -> None:
    core, more = pins("inference_container/requirements.txt"), pins(f"inference_container/requirements-{variant}.txt")
    assert {name: core[name] for name in core.keys() & more.keys()} == {
        name: more[name] for name in core.keys() & more.keys()
    }


def test_heavy_frameworks_are_tested_on_the_versions_of_their_images() -> None:
    tested = pins("requirements-frameworks.txt")
    for name in ("inference_container/requirements.txt", "inference_container/requirements-tensorflow.txt"):
        image = pins(name)
        assert {package: tested.get(package) for package in image} == image
    assert "torch" not in tested
    torch = pins("inference_container/requirements-pytorch.txt")["torch"]
    assert f'pytorch = ["torch=={torch}"]' in (ROOT / "pyproject.toml").read_text()


def test_image_has_neither_boto3_nor_the_embedded_aws() -> None:
    assert not {"boto3", "botocore", "aws-cdk-lib", "ministack"} & set(pins("inference_container/requirements.txt"))


LOCKS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "tools", "inference_container", "examples/extend/batch")
    for path in (ROOT / folder).glob("requirements*.txt")
)


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_of_a_lock_is_pinned_with_hashes(name: str) -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / name).read_text().strip())
    assert [
        entry for entry in entries if not re.match(r"[A-Za-z0-9._-]+==\S+ .*--hash=sha256:", entry, re.DOTALL)
    ] == []


def test_every_node_package_has_its_integrity() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    installed = {name: entry for name, entry in packages.items() if name and not entry.get("inBundle")}
    assert len(installed) > 5
    assert [name for name, entry in installed.items() if not entry.get("integrity", "").startswith("sha512-")] == []
    assert "ignore-scripts=true" in (ROOT / ".npmrc").read_text()


def test_make_installs_nothing_without_a_lock() -> None:
    """The exceptions: this project itself, and PyTorch for its tests, whose build depends on the machine."""
    text = (ROOT / "Makefile").read_text() + (ROOT / "tools/node.sh").read_text()
    commands = re.findall(r"pip install (.*(?:\\\n.*)?)", text)
    unlocked = [command for command in commands if "$(LOCKED" not in command and "--require-hashes" not in command]
    assert [re.sub(r"\$\(PIP_FLAGS\) ", "", command).strip() for command in unlocked] == [
        "--no-deps --no-build-isolation --editable .",
        "--only-binary=:all: $(call extra,pytorch)",
    ]
