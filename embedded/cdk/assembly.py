"""Cloud assemblies: their stacks, in the order of their dependencies, and their assets."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.server.endpoint import Endpoint


class AssemblyError(ValueError):
    """The assembly cannot be deployed here. The text names the unsupported part."""


@dataclass(frozen=True)
class FileAsset:
    """A file, or a folder to zip, and the S3 object that the templates refer to."""

    path: Path
    is_folder: bool
    bucket: str
    key: str


@dataclass(frozen=True)
class ImageAsset:
    """A folder with a Dockerfile, and the image URI that the templates refer to."""

    directory: Path
    dockerfile: str
    image_uri: str
    arguments: tuple[tuple[str, str], ...] = ()
    """Build arguments by name."""


@dataclass(frozen=True)
class Stack:
    """A stack, with the assets to publish before its deployment."""

    name: str
    template: Path
    tags: tuple[tuple[str, str], ...]
    files: tuple[FileAsset, ...]
    images: tuple[ImageAsset, ...]


def read_stacks(assembly: Path, endpoint: Endpoint) -> list[Stack]:
    """Return all stacks of an assembly and of its nested stages, each after its dependencies.

    Raises:
        AssemblyError: The folder is not an assembly, or has an unsupported asset.
    """
    manifest_file = assembly / "manifest.json"
    if not manifest_file.exists():
        raise AssemblyError(f"{assembly} is not a cloud assembly: it has no manifest.json (synthesize the app first)")
    artifacts: dict[str, Any] = json.loads(manifest_file.read_text()).get("artifacts", {})
    stacks: list[Stack] = []
    done: set[str] = set()

    def visit(name: str) -> None:
        if name in done or name not in artifacts:
            return
        done.add(name)
        artifact = artifacts[name]
        dependencies = artifact.get("dependencies", [])
        for dependency in dependencies:
            visit(dependency)
        if artifact["type"] == "cdk:cloud-assembly":
            stacks.extend(read_stacks(assembly / artifact["properties"]["directoryName"], endpoint))
        elif artifact["type"] == "aws:cloudformation:stack":
            manifests = [
                assembly / artifacts[dependency]["properties"]["file"]
                for dependency in dependencies
                if artifacts.get(dependency, {}).get("type") == "cdk:asset-manifest"
            ]
            stacks.append(_stack(name, artifact["properties"], manifests, assembly, endpoint))

    for name in artifacts:
        visit(name)
    return stacks


def _stack(name: str, properties: dict[str, Any], manifests: list[Path], assembly: Path, endpoint: Endpoint) -> Stack:
    files: list[FileAsset] = []
    images: list[ImageAsset] = []
    for manifest in manifests:
        content = json.loads(manifest.read_text())
        for asset in content.get("files", {}).values():
            files.extend(_files(asset, manifest.parent, endpoint))
        for identity, asset in content.get("dockerImages", {}).items():
            images.extend(_images(identity, asset, manifest.parent, endpoint))
    return Stack(
        name=properties.get("stackName", name),
        template=assembly / properties["templateFile"],
        tags=tuple(sorted(properties.get("tags", {}).items())),
        files=tuple(files),
        images=tuple(images),
    )


def _files(asset: dict[str, Any], folder: Path, endpoint: Endpoint) -> list[FileAsset]:
    source = asset["source"]
    if "path" not in source:
        raise AssemblyError(f"file asset with source {source!r}: only a path is supported, not an executable")
    return [
        FileAsset(
            path=folder / source["path"],
            is_folder=source.get("packaging", "file") == "zip",
            bucket=_fill(destination["bucketName"], endpoint),
            key=_fill(destination["objectKey"], endpoint),
        )
        for destination in asset["destinations"].values()
    ]


def _images(identity: str, asset: dict[str, Any], folder: Path, endpoint: Endpoint) -> list[ImageAsset]:
    source = asset["source"]
    # The platform has no effect: the code runs on this machine.
    unknown = sorted(source.keys() - {"directory", "dockerFile", "dockerBuildArgs", "platform"})
    if unknown:
        raise AssemblyError(f"image asset {identity}: {', '.join(unknown)}: not supported without Docker, remove it")
    return [
        ImageAsset(
            directory=folder / source["directory"],
            dockerfile=source.get("dockerFile", "Dockerfile"),
            image_uri=f"{endpoint.account_id}.dkr.ecr.{endpoint.region}.amazonaws.com/"
            f"{_fill(destination['repositoryName'], endpoint)}:{_fill(destination['imageTag'], endpoint)}",
            arguments=tuple(sorted(source.get("dockerBuildArgs", {}).items())),
        )
        for destination in asset["destinations"].values()
    ]


def _fill(text: str, endpoint: Endpoint) -> str:
    """Replace the pseudo parameters of CloudFormation, such as `${AWS::Region}`."""
    for name, value in (("AccountId", endpoint.account_id), ("Region", endpoint.region), ("Partition", "aws")):
        text = text.replace(f"${{AWS::{name}}}", value)
    return text
