"""The arguments and `SM_…` variables that SageMaker's containers give to a training script.

Names and values follow sagemaker-training-toolkit, for which such scripts are written.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from contract.container_paths import TrainingPaths
from contract.json_text import parse_json
from scoring.files.scratch import SCRATCH_NAME

PROGRAM = "sagemaker_program"
SUBMIT_DIRECTORY = "sagemaker_submit_directory"
_SERVICE_PREFIX = "sagemaker_"


def decoded(texts: Mapping[str, str]) -> dict[str, Any]:
    """Decode hyperparameters as the SageMaker SDK encodes them: JSON where possible, else text."""
    return {name: _decode(text) for name, text in texts.items()}


def user_hyperparameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters without those of SageMaker itself."""
    return {name: value for name, value in values.items() if not name.startswith(_SERVICE_PREFIX)}


def arguments(values: Mapping[str, Any]) -> list[str]:
    """Return `--name value` per hyperparameter, or `-n value` for names of one letter."""
    words = []
    for name, value in sorted(values.items()):
        words += [f"-{name}" if len(name) == 1 else f"--{name}", _text(value)]
    return words


def variables(
    paths: TrainingPaths,
    program: str,
    code: Path,
    texts: Mapping[str, str],
    *,
    roots: Collection[Path],
    cores: int,
    gpus: int,
) -> dict[str, str]:
    """Return the variables that are added to the container's environment for the script.

    `roots` are the folders of the data channels' objects, at or below the channels' folders.
    """
    values = decoded(texts)
    own = user_hyperparameters(values)
    resources = _json(paths.resource_config)
    hosts = list(resources.get("hosts") or ["algo-1"])
    host = str(resources.get("current_host") or hosts[0])
    found = (path.name for path in paths.data.iterdir() if path.is_dir()) if paths.data.is_dir() else ()
    # Unfinished work may be there too, where the root disk is small.
    channels = sorted(name for name in found if name != SCRATCH_NAME)
    folders = {name: str(paths.data / name) for name in channels}
    # The script finds each object at the path that is its key, wherever SageMaker has put the files.
    folders |= {root.relative_to(paths.data).parts[0]: str(root) for root in roots if root.is_dir()}
    described = {
        "SM_MODEL_DIR": str(paths.model),
        "SM_INPUT_DIR": str(paths.data.parent),
        "SM_INPUT_CONFIG_DIR": str(paths.hyperparameters.parent),
        "SM_OUTPUT_DIR": str(paths.output),
        "SM_OUTPUT_DATA_DIR": str(paths.output_data),
        "SM_CHANNELS": json.dumps(channels),
        "SM_HPS": json.dumps(own),
        "SM_USER_ARGS": json.dumps(arguments(own)),
        "SM_FRAMEWORK_PARAMS": json.dumps({name: value for name, value in values.items() if name not in own}),
        "SM_CURRENT_HOST": host,
        "SM_HOSTS": json.dumps(hosts),
        "SM_MASTER_ADDR": str(hosts[0]),
        "SM_MASTER_PORT": "7777",
        "SM_NUM_CPUS": str(cores),
        "SM_NUM_GPUS": str(gpus),
        "SM_NUM_NEURONS": "0",
        "SM_NETWORK_INTERFACE_NAME": str(resources.get("network_interface_name", "eth0")),
        "SM_CURRENT_INSTANCE_TYPE": str(resources.get("current_instance_type", "")),
        "SM_CURRENT_INSTANCE_GROUP": str(resources.get("current_group_name", "")),
        "SM_INPUT_DATA_CONFIG": json.dumps(_json(paths.input_data_config)),
        "SM_RESOURCE_CONFIG": json.dumps(resources),
        "SM_USER_ENTRY_POINT": program,
        "SM_MODULE_NAME": Path(program).stem,
        "SM_MODULE_DIR": str(code),
        "SM_LOG_LEVEL": str(values.get("sagemaker_container_log_level", 20)),
    }
    described |= {f"SM_CHANNEL_{name.upper()}": folder for name, folder in folders.items()}
    described |= {f"SM_HP_{name.upper()}": _text(value) for name, value in own.items()}
    described["SM_TRAINING_ENV"] = json.dumps(
        {
            "channel_input_dirs": folders,
            "current_host": host,
            "hosts": hosts,
            "hyperparameters": own,
            "input_data_config": _json(paths.input_data_config),
            "model_dir": str(paths.model),
            "module_dir": str(code),
            "module_name": Path(program).stem,
            "num_cpus": cores,
            "num_gpus": gpus,
            "output_data_dir": str(paths.output_data),
            "resource_config": resources,
            "user_entry_point": program,
        }
    )
    return described


def count_gpus(devices: Path = Path("/proc/driver/nvidia/gpus")) -> int:
    """Count the GPUs that the driver shows to this container."""
    return len(list(devices.iterdir())) if devices.is_dir() else 0


def _decode(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
