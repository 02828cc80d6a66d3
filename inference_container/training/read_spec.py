"""Reads the training spec, with the hyperparameters of the job's request applied."""

import dataclasses
from typing import Any

from contract.codec import loads
from contract.container_paths import TrainingPaths
from contract.json_text import parse_json
from contract.problems import InvalidInputError
from contract.training.training_spec import TrainingSpec
from scoring.errors import ConfigurationError, one_line


def read_spec(paths: TrainingPaths) -> TrainingSpec:
    """Read the spec from the channel `spec`. Hyperparameters of the job's request override its own.

    Raises ConfigurationError with every problem found.
    """
    try:
        spec = loads(TrainingSpec, paths.spec.read_bytes(), subject="training.json")
    except OSError as error:
        raise ConfigurationError(
            f"the training spec cannot be read ({one_line(error)}): give the job a channel 'spec' with training.json"
        ) from error
    except InvalidInputError as error:
        raise ConfigurationError(str(error)) from error
    given = _hyperparameters(paths)
    try:
        spec = dataclasses.replace(spec, hyperparameters={**spec.hyperparameters, **given})
    except InvalidInputError as error:
        raise ConfigurationError(f"hyperparameters.json: {error}") from error
    _refuse_several_hosts(paths, spec)
    return spec


def _hyperparameters(paths: TrainingPaths) -> dict[str, str]:
    values = _read_json(paths.hyperparameters, {})
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ConfigurationError("hyperparameters.json must be one JSON object whose values are all texts")
    return values


def _refuse_several_hosts(paths: TrainingPaths, spec: TrainingSpec) -> None:
    """Refuse several instances, except for scripts.

    Each instance of the other trainers would train the same model, or a model of part of the data.
    """
    config = _read_json(paths.resource_config, {})
    hosts = config.get("hosts") if isinstance(config, dict) else None
    if not isinstance(hosts or [], list):
        raise ConfigurationError(f"resourceconfig.json: hosts is {hosts!r}, expected a list of names")
    if hosts and len(hosts) > 1 and spec.trainer != "script":
        raise ConfigurationError(
            f"the job has {len(hosts)} instances, trainer {spec.trainer!r} uses one: set instance_count to 1 and "
            "choose a larger instance type"
        )


def _read_json(path: Any, default: Any) -> Any:
    try:
        return parse_json(path.read_bytes())
    except FileNotFoundError:
        return default
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path.name} cannot be read ({one_line(error)}): it must be JSON") from error
