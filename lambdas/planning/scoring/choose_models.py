"""Stage 1 of the draft: choose the models and fleets that are scored, and the dataset of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contract.catalog.models import Model, ModelVersion
from contract.problems import Problem
from contract.workflow.scoring_request import ExecutionRequest, ModelFilter
from lambdas.planning.scoring.assignments import Assignment, ChosenFleet
from lambdas.planning.scoring.choose_fleets import Catalog, choose_fleets
from lambdas.planning.scoring.upload_manifest import Uploads
from lambdas.shown_text import list_first, suggest
from lambdas.stage.deployment import Deployment

_LISTED = 3
_SUGGESTED_IDS = 50
"""Maximum number of unknown ids for which similar ids are searched.

A search compares an id with the whole catalog, and a request can have tens of thousands of ids.
"""


@dataclass(frozen=True)
class Choice:
    """The models and fleets that are scored."""

    assignments: tuple[Assignment, ...]
    """Models of no fleet."""
    fleets: tuple[ChosenFleet, ...]
    datasets: tuple[str, ...]
    """The distinct datasets. A dataset that the request names is included even without a model."""
    problems: tuple[Problem, ...]

    @property
    def readers(self) -> tuple[Assignment, ...]:
        """All that reads datasets: the models, and each fleet as one model."""
        return (*self.assignments, *(fleet.assignment for fleet in self.fleets))


def choose_models(request: ExecutionRequest, uploads: Uploads | None, deployment: Deployment) -> Choice:
    """Choose the current versions of the request's models and fleets, and for each the request's
    dataset or its own."""
    catalog = Catalog(deployment.table)
    models, problems = _find_models(request, uploads, catalog)
    versions, found = check_versions(models, catalog.current_versions(models))
    problems += found
    uploaded = None if uploads is None else uploads.dataset
    fleets, found = choose_fleets(request, [version for version in versions if version.fleet], catalog, uploaded)
    problems += found
    own = [version for version in versions if not version.fleet]
    if uploads is not None and not isinstance(request.models, tuple):
        # Models of other datasets do not score uploads.
        own = [version for version in own if version.dataset == uploaded]
        if not own and not fleets and request.fleets is None:
            problems = _explain_none(problems, uploads, len(versions), request.models, catalog)
    dataset = request.dataset or uploaded
    assignments = tuple(Assignment(version, dataset or version.dataset) for version in own)
    read = {*(assignment.dataset for assignment in assignments), *(fleet.dataset for fleet in fleets)}
    datasets = sorted(read) or ([dataset] if dataset else [])
    return Choice(assignments, tuple(fleets), tuple(datasets), tuple(problems))


def _find_models(
    request: ExecutionRequest, uploads: Uploads | None, catalog: Catalog
) -> tuple[list[Model], list[Problem]]:
    wanted = request.models
    if wanted is None and request.fleets is not None:
        return [], []
    if wanted is None or isinstance(wanted, ModelFilter):
        return choose_from_catalog(wanted, catalog.models())
    known = catalog.table.models(wanted)
    all_found = len(known) == len(wanted)
    catalog_ids = [] if all_found else [model.model_id for model in catalog.models()]
    return choose_by_id(wanted, known, catalog_ids, after_enabling="" if uploads is None else _score_later(uploads))


def choose_by_id(
    model_ids: Sequence[str], known: Mapping[str, Model], catalog_ids: Sequence[str], *, after_enabling: str = ""
) -> tuple[list[Model], list[Problem]]:
    """Return the enabled models with these ids, and the problems of the others.

    `catalog_ids` are all registered ids, for suggestions. `after_enabling` is what to do after a
    disabled model is enabled, as a sentence.
    """
    chosen: list[Model] = []
    problems: list[Problem] = []
    for index, model_id in enumerate(model_ids):
        field = f"models[{index}]"
        model = known.get(model_id)
        if model is None:
            candidates = catalog_ids if len(problems) < _SUGGESTED_IDS else ()
            problems.append(
                Problem(field, model_id, "the id of a registered model", suggest(model_id, candidates, "models"))
            )
        elif not model.enabled:
            remedy = f"Enable it with `fleetscore models enable {model_id}`, or leave it out."
            remedy = f"{remedy} {after_enabling}".strip()
            problems.append(Problem(field, model_id, "a model that is enabled", remedy))
        else:
            chosen.append(model)
    return chosen, problems


def choose_from_catalog(wanted: ModelFilter | None, catalog: Sequence[Model]) -> tuple[list[Model], list[Problem]]:
    """Return every enabled model, or those that have all the tags of the filter."""
    enabled = [model for model in catalog if model.enabled]
    if not enabled:
        found = f"{len(catalog):,} models, none of them enabled" if catalog else "an empty catalog"
        remedy = "Register one with `fleetscore models register`."
        return [], [Problem("models", found, "at least one enabled model", remedy)]
    if wanted is None:
        return enabled, []
    chosen = [model for model in enabled if _has_tags(model, wanted.tags)]
    if chosen:
        return chosen, []
    disabled = [model.model_id for model in catalog if not model.enabled and _has_tags(model, wanted.tags)]
    remedy = f"These models have them but are disabled: {list_first(disabled)}." if disabled else _known_tags(enabled)
    return [], [Problem("models.tags", dict(wanted.tags), "tags that at least one enabled model has", remedy)]


def _has_tags(model: Model, tags: Mapping[str, str]) -> bool:
    return all(model.tags.get(name) == value for name, value in tags.items())


def _known_tags(models: Iterable[Model]) -> str:
    tags = sorted({f"{name}={value}" for model in models for name, value in model.tags.items()})
    return f"Tags in the catalog: {list_first(tags)}." if tags else "No enabled model has any tag."


def check_versions(
    models: Sequence[Model], versions: Mapping[str, ModelVersion]
) -> tuple[list[ModelVersion], list[Problem]]:
    """Return the current version of each model, from `versions` by model id."""
    problems = [
        Problem(
            f"model {model.model_id!r}: current_version",
            model.current_version,
            "a version that is registered",
            f"Register it with `fleetscore models register` or disable the model with "
            f"`fleetscore models disable {model.model_id}`.",
        )
        for model in models
        if model.model_id not in versions
    ]
    return [versions[model.model_id] for model in models if model.model_id in versions], problems


def _explain_none(
    problems: Sequence[Problem], uploads: Uploads, models: int, wanted: ModelFilter | None, catalog: Catalog
) -> list[Problem]:
    """Return the problems of a request for which no model scores the uploads.

    `models` is the number of enabled models of other datasets.
    """
    disabled = [model for model in catalog.models() if not model.enabled and _has_tags(model, _tags_of(wanted))]
    versions = catalog.current_versions(disabled)
    own = [
        model.model_id
        for model in disabled
        if model.model_id in versions and versions[model.model_id].dataset == uploads.dataset
    ]
    if own:
        verb = "is" if len(own) == 1 else "are"
        found = f"no enabled model of this dataset, because {list_first(own, _LISTED)} {verb} disabled"
        remedy = f"Enable it with `fleetscore models enable {own[0]}`. {_score_later(uploads)}".strip()
        others = [problem for problem in problems if problem.field not in ("models", "models.tags")]
        return [*others, Problem("models", found, _expected_of_dataset(uploads.dataset), remedy)]
    return [*problems] if problems or not models else [_none_of_dataset(uploads.dataset, models)]


def _tags_of(wanted: ModelFilter | None) -> Mapping[str, str]:
    return {} if wanted is None else wanted.tags


def _score_later(uploads: Uploads) -> str:
    """Return how to score uploads whose execution is refused; nothing for the snapshot of a table."""
    if uploads.is_table:
        return ""
    return f"Then score the refused uploads with `fleetscore resume --uploads {uploads.dataset}`."


def _expected_of_dataset(dataset: str) -> str:
    return f"at least one chosen model or fleet whose own dataset is {dataset!r}"


def _none_of_dataset(dataset: str, models: int) -> Problem:
    expected = _expected_of_dataset(dataset)
    remedy = "Register one, or name the models in the request of the setting `uploads`."
    return Problem("models", f"{models:,} models of other datasets", expected, remedy)
