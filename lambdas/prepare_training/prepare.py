"""Refuse a bad request before training costs anything, and say which training execution is to be
started."""

import json
from typing import Any

from contract import layout
from contract.checks import raise_if_any
from contract.names import check_execution_name
from contract.problems import InvalidInputError, Problem
from contract.training.recipes import ModelRecipe
from contract.workflow.messages import PlanInput, TrainingOrder
from contract.workflow.scoring_request import ExecutionRequest, ModelFilter, TrainFirst, parse_request
from lambdas.planning.execution_record import open_execution, refuse
from lambdas.planning.recipe_choice import choose_among, choose_enabled, choose_named
from lambdas.stage.deployment import Deployment

_MOST_BYTES = 60_000
"""Of the models' ids: a state holds 256 KB, and the request is in it as well."""


def prepare_training(event: PlanInput, deployment: Deployment) -> TrainingOrder:
    """Open the execution's record and order its training; called again it orders the same one.

    Raises:
        InvalidRequestError: with every problem of the request; the execution's record says the
            same.
        ExecutionNameUsedError: when the records of another execution bear this name.
        ExecutionClosedError: when the execution has ended.
    """
    name = layout.training_execution_name(event.execution_arn, event.started_at)
    record = open_execution(event, deployment, training_execution_id=name)
    try:
        raise_if_any(check_execution_name("execution name", event.execution_id))
        request = parse_request(event.request)
        training_input = _input(request, deployment)
    except InvalidInputError as error:
        raise refuse(record, error.problems, deployment) from error
    return TrainingOrder(name, training_input)


def _input(request: ExecutionRequest, deployment: Deployment) -> dict[str, Any]:
    if request.train is None:
        raise InvalidInputError("request", [Problem("train", None, "a training: the state machine asked for one")])
    recipes, problems = _recipes(request, request.train, deployment)
    model_ids = sorted(recipe.model_id for recipe in recipes)
    if len(json.dumps(model_ids)) > _MOST_BYTES:
        remedy = "Train them in executions of their own (`fleetscore train`), then score without `train`."
        problems = [*problems, Problem("train", f"{len(model_ids):,} models", f"ids of {_MOST_BYTES:,} bytes", remedy)]
    if problems:
        raise InvalidInputError("request", problems)
    label = {"execution_label": request.execution_label} if request.execution_label else {}
    return {"models": model_ids, **label}


def _recipes(
    request: ExecutionRequest, train: TrainFirst, deployment: Deployment
) -> tuple[list[ModelRecipe], list[Problem]]:
    table = deployment.table
    if train.models is not None:
        return choose_named("train.models", train.models, table.recipes(train.models), table.models(train.models))
    if isinstance(request.models, tuple):
        return choose_among(request.models, table.recipes(request.models))
    recipes = table.all_recipes()
    models = table.models([recipe.model_id for recipe in recipes])
    return choose_enabled(recipes, models, request.models.tags if isinstance(request.models, ModelFilter) else None)
