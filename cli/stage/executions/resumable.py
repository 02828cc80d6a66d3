"""Whether an execution can be resumed with the catalog as it is now."""

from collections.abc import Iterator, Mapping, Sequence

from cli.failures import CommandError
from cli.stage.catalog.catalog_table import CatalogTable
from cli.stage.catalog.fleets import Fleets
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.execution_snapshot import Snapshot
from contract.catalog.availability import nothing_available, unavailable_fleet, unavailable_model, why_unavailable
from contract.catalog.models import Model
from contract.checks import raise_if_any
from contract.problems import Problem
from contract.status import ExecutionStatus
from contract.workflow.scoring_request import ExecutionRequest, ModelFilter

_MODELS_AT_ONCE = 100


class Resumable:
    """The catalog of one deployment, asked for what an ended execution has scored."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._table = CatalogTable(connection.resource("dynamodb").Table(deployment.table_name), connection)
        self._fleets = Fleets(connection, deployment)

    def check(self, request: ExecutionRequest, old: Snapshot) -> None:
        """Check that the execution has ended, and that the models and fleets that a request names are enabled.

        If the request names none, one of all must be. The plan of the new execution checks the same. Here it is
        refused before anything starts.

        Raises:
            InvalidInputError: when the execution runs or was never planned, or with every model and fleet that
                cannot be scored.
        """
        raise_if_any(_not_ended(old), "request")
        models = list(dict.fromkeys(name for job in old.jobs if not job.fleet for name in job.model_ids))
        fleets = list(dict.fromkeys(job.fleet for job in old.jobs if job.fleet))
        if isinstance(request.models, tuple):
            wanted = [name for name in request.models if name in models]
            why = {name: reason for name, _, reason in self._models(wanted) if reason}
            indexes = {name: index for index, name in enumerate(request.models)}
            raise_if_any([unavailable_model(f"models[{indexes[name]}]", name, why[name]) for name in why], "request")
        if request.fleets is not None:
            gone = self._unavailable_fleets([name for name in request.fleets if name in fleets])
            raise_if_any([unavailable_fleet("fleets", name, gone[name]) for name in gone], "request")
        if not (isinstance(request.models, tuple) or request.fleets is not None):
            self._check_any(request, models, fleets if request.models is None else [])

    def _check_any(self, request: ExecutionRequest, models: Sequence[str], fleets: Sequence[str]) -> None:
        tags = request.models.tags.items() if isinstance(request.models, ModelFilter) else {}.items()
        why: dict[str, str] = {}
        for name, model, reason in self._models(models):
            if model is not None and not tags <= model.tags.items():
                continue
            if not reason:
                return
            why[name] = reason
        gone = self._unavailable_fleets(fleets)
        if len(gone) == len(fleets) and (why or gone):
            raise_if_any([nothing_available(why, gone)], "request")

    def _models(self, model_ids: Sequence[str]) -> Iterator[tuple[str, Model | None, str]]:
        """Yield each model, None if it was deleted, and why it is not available."""
        for start in range(0, len(model_ids), _MODELS_AT_ONCE):
            names = model_ids[start : start + _MODELS_AT_ONCE]
            known = self._table.models(names)
            versions = self._table.versions([(name, known[name].current_version) for name in names if name in known])
            for name in names:
                model = known.get(name)
                version = versions.get((name, model.current_version)) if model is not None else None
                yield name, model, why_unavailable(model, version)

    def _unavailable_fleets(self, fleet_ids: Sequence[str]) -> Mapping[str, str]:
        why: dict[str, str] = {}
        for fleet_id in fleet_ids:
            try:
                if not self._fleets.show(fleet_id).enabled:
                    why[fleet_id] = "without enabled models"
            except CommandError:
                why[fleet_id] = "deleted"
        return why


def _not_ended(old: Snapshot) -> list[Problem]:
    name = old.execution_id
    # Without an answer of Step Functions, a record that is still open may be of an execution that ended long ago.
    if old.workflow is not None and old.workflow.status == ExecutionStatus.RUNNING.value:
        remedy = f"Wait for its end with `fleetscore watch {name}`, or stop it with `fleetscore stop {name}`."
        return [Problem("resume", f"{name}, which is RUNNING", "an execution that has ended", remedy)]
    if old.record is not None and old.record.plan is None and old.record.resumes:
        remedy = f"Resume it instead: `fleetscore resume {old.record.resumes}`."
        value = f"{name}, which was never planned and continues {old.record.resumes}"
        return [Problem("resume", value, "an execution with a plan", remedy)]
    return []
