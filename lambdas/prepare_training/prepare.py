"""Refuse an invalid request before any training, and return the training execution to start."""

from collections.abc import Sequence
from typing import Any

from contract import training_layout
from contract.checks import raise_if_any
from contract.names import check_execution_name
from contract.problems import InvalidInputError, Problem
from contract.training.recipes import ModelRecipe
from contract.workflow.messages import PlanInput, TrainingStart
from contract.workflow.scoring_request import ExecutionRequest, TrainFirst, parse_request
from lambdas.planning.execution_record import open_execution, refuse
from lambdas.planning.recipe_choice import check_training_input, choose_to_train
from lambdas.stage.deployment import Deployment


def prepare_training(event: PlanInput, deployment: Deployment) -> TrainingStart:
    """Open the execution's record and return the training execution to start. Idempotent.

    Raises:
        InvalidRequestError: with every problem of the request; the execution's record has the same
            text.
        ExecutionNameUsedError: when another execution with this name has records.
        ExecutionClosedError: when the execution has ended.
    """
    name = training_layout.training_execution_name(event.execution_arn, event.started_at)
    record = open_execution(event, deployment, training_execution_id=name)
    try:
        raise_if_any(check_execution_name("execution name", event.execution_id))
        request = parse_request(event.request)
        if request.train is None:
            problem = Problem("train", None, "a training, because the state machine asked for one")
            raise InvalidInputError("request", [problem])
        recipes, problems = choose_to_train(request, request.train, deployment.table)
        raise_if_any([*problems, *check_training_input(recipes, event.request)], "request")
    except InvalidInputError as error:
        raise refuse(record, error.problems, deployment) from error
    return TrainingStart(name, form_input(recipes, request, request.train))


def form_input(recipes: Sequence[ModelRecipe], request: ExecutionRequest, train: TrainFirst) -> dict[str, Any]:
    """Return the training execution's input."""
    label = {"execution_label": request.execution_label} if request.execution_label else {}
    priority = {} if request.priority is None else {"priority": request.priority}
    unchanged = {"train_unchanged": True} if train.train_unchanged else {}
    return {"models": sorted(recipe.model_id for recipe in recipes), **unchanged, **label, **priority}
