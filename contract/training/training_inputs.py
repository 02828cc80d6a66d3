"""The digest of all that a training depends on, by which a plan finds that nothing has changed."""

import hashlib
import json
from dataclasses import replace

from contract import codec
from contract.training.recipes import ModelRecipe
from contract.training.training_spec import TrainingSpec


def inputs_sha256(spec: TrainingSpec, recipe: ModelRecipe, image_uri: str) -> str:
    """Return the SHA-256, in lower-case hex, of what a version is trained from.

    These are the pinned objects (key, size and ETag), the whole recipe with its seed and script, and
    the image. When and by whom a recipe was set does not count, nor do the names of the execution
    and the version.
    """
    same = replace(spec, execution_id="any", job_id="any", version="any")
    parts = [codec.to_json(same), codec.to_json(replace(recipe, updated_at="", updated_by="")), image_uri]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
