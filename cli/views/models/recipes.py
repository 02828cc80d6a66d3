"""Training recipes as tables for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from cli.views.models.models import feature_text
from cli.views.tables import add_row, plain_json, plain_table, shown_time
from contract.training.recipes import ModelRecipe


def recipes_table(recipes: Sequence[ModelRecipe]) -> Table:
    table = plain_table("model", "trainer", "task", "trained on", "scores", "metric", "promoted by", "updated")
    for recipe in recipes:
        promotion = recipe.promotion
        floor = "" if promotion.floor is None else f", floor {promotion.floor:g}"
        trainer = recipe.estimator or recipe.trainer
        add_row(
            table,
            recipe.model_id,
            trainer,
            recipe.task,
            recipe.training_dataset,
            recipe.dataset,
            recipe.effective_metric,
            promotion.mode + floor,
            shown_time(recipe.updated_at),
        )
    return table


def recipe_fields(recipe: ModelRecipe) -> Mapping[str, Any]:
    """Return every field of a recipe; names of nested fields are joined by dots."""
    fields: dict[str, Any] = {}
    for name, value in plain_json(recipe).items():
        if name == "features":
            fields[name] = ", ".join(map(feature_text, recipe.features))
        elif isinstance(value, dict) and name not in ("tags", "hyperparameters"):
            fields |= {f"{name}.{part}": item for part, item in value.items()}
        else:
            fields[name] = value
    return fields
