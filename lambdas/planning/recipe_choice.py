"""Choose the recipes to train. Each function returns the recipes and the problems."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contract.catalog.models import Model
from contract.problems import Problem
from contract.training.recipes import ModelRecipe
from contract.workflow.request_size import check_training_size, request_bytes
from contract.workflow.scoring_request import ExecutionRequest, ModelFilter, TrainFirst
from lambdas.shown_text import list_first
from lambdas.stage.tables.job_table import JobTable

_SET_ONE = "Set one with `fleetscore models recipe set`"


def choose_named(
    field: str, model_ids: Sequence[str], recipes: Mapping[str, ModelRecipe], models: Mapping[str, Model]
) -> tuple[list[ModelRecipe], list[Problem]]:
    """Return the recipes of these models. Each model must have one and must not be disabled."""
    problems: list[Problem] = []
    for index, model_id in enumerate(model_ids):
        name = f"{field}[{index}]"
        if model_id not in recipes:
            problems.append(Problem(name, model_id, "a model that has a recipe", f"{_SET_ONE}, or leave it out."))
        elif not _enabled(model_id, models):
            remedy = f"Enable it with `fleetscore models enable {model_id}`, or leave it out."
            problems.append(Problem(name, model_id, "a model that is enabled", remedy))
    return [recipes[model_id] for model_id in model_ids if model_id in recipes], problems


def choose_enabled(
    recipes: Iterable[ModelRecipe], models: Mapping[str, Model], tags: Mapping[str, str] | None = None
) -> tuple[list[ModelRecipe], list[Problem]]:
    """Return every recipe whose model is not disabled and has all the tags.

    A model without a promoted version is not in the catalog yet; the tags of its recipe then count.
    """
    known = list(recipes)
    enabled = [recipe for recipe in known if _enabled(recipe.model_id, models)]
    chosen = [recipe for recipe in enabled if _has_tags(recipe, models, tags or {})]
    if chosen:
        return chosen, []
    if not known:
        return [], [Problem("models", "no recipes", "at least one model that has a recipe", f"{_SET_ONE}.")]
    if not enabled:
        remedy = f"Enable one: {list_first([recipe.model_id for recipe in known])}."
        return [], [Problem("models", f"{len(known):,} recipes of disabled models", "an enabled model", remedy)]
    expected = "tags that at least one enabled model with a recipe has"
    remedy = f"These have recipes: {list_first([recipe.model_id for recipe in enabled])}."
    return [], [Problem("models.tags", dict(tags or {}), expected, remedy)]


def choose_among(
    model_ids: Sequence[str], recipes: Mapping[str, ModelRecipe]
) -> tuple[list[ModelRecipe], list[Problem]]:
    """Return the recipes that these models have. Models without one are only scored."""
    chosen = [recipes[model_id] for model_id in model_ids if model_id in recipes]
    if chosen:
        return chosen, []
    remedy = f"{_SET_ONE}, or leave `train` out."
    return [], [Problem("train", list_first(model_ids), "at least one model of the request that has a recipe", remedy)]


def choose_to_train(
    request: ExecutionRequest, train: TrainFirst, table: JobTable
) -> tuple[list[ModelRecipe], list[Problem]]:
    """Return the recipes that a scoring request trains first."""
    if train.models is not None:
        return choose_named("train.models", train.models, table.recipes(train.models), table.models(train.models))
    if isinstance(request.models, tuple) and request.fleets is None:
        return choose_among(request.models, table.recipes(request.models))
    recipes = table.all_recipes()
    models = table.models([recipe.model_id for recipe in recipes])
    if request.fleets is not None:
        recipes = _of_request(request, recipes, models)
        if recipes:
            return recipes, []
        listed = list_first([*request.fleets, *(request.models if isinstance(request.models, tuple) else ())])
        remedy = f"{_SET_ONE}, or leave `train` out."
        return [], [Problem("train", listed, "an enabled model with a recipe, in these fleets or among these", remedy)]
    return choose_enabled(recipes, models, request.models.tags if isinstance(request.models, ModelFilter) else None)


def _of_request(
    request: ExecutionRequest, recipes: Sequence[ModelRecipe], models: Mapping[str, Model]
) -> list[ModelRecipe]:
    """Return the recipes of enabled models that the request selects, by their fleets or otherwise."""
    wanted, fleets = request.models, request.fleets or ()

    def is_selected(recipe: ModelRecipe) -> bool:
        if isinstance(wanted, ModelFilter):
            return recipe.fleet in fleets or _has_tags(recipe, models, wanted.tags)
        return recipe.fleet in fleets or recipe.model_id in (wanted or ())

    return [recipe for recipe in recipes if _enabled(recipe.model_id, models) and is_selected(recipe)]


def check_training_input(recipes: Sequence[ModelRecipe], request: Any) -> list[Problem]:
    """Refuse a scoring request, as its caller wrote it, that is too large together with the ids of the models that
    it trains first."""
    return check_training_size(request_bytes(request), [recipe.model_id for recipe in recipes])


def _enabled(model_id: str, models: Mapping[str, Model]) -> bool:
    return model_id not in models or models[model_id].enabled


def _has_tags(recipe: ModelRecipe, models: Mapping[str, Model], tags: Mapping[str, str]) -> bool:
    model = models.get(recipe.model_id)
    own_tags = recipe.tags if model is None else model.tags
    return all(own_tags.get(name) == value for name, value in tags.items())
