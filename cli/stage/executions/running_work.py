"""What the running executions are going to score of a dataset."""

from collections.abc import Set
from functools import partial
from typing import Any

from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.executions.executions import Executions, execution_record, jobs_of
from contract.json_text import JsonError, parse_json
from contract.problems import InvalidInputError
from contract.status import JobStatus
from contract.table.job_parts import group_parts
from contract.table.latest_predictions import covers_whole_datasets, original_execution
from contract.workflow.request_check import ScoredBefore
from contract.workflow.scoring_request import ExecutionRequest, parse_request


class RunningWork:
    """The running executions of one deployment."""

    def __init__(self, connection: Connection, deployment: Deployment, executions: Executions) -> None:
        self._executions = executions
        self._table = connection.resource("dynamodb").Table(deployment.table_name)

    def covering(self, dataset: str, missing: Set[ScoredBefore]) -> dict[str, frozenset[ScoredBefore]]:
        """Return the running executions that score the whole dataset with some of the models and fleets.

        Each is named with what it covers. An execution over a part of the dataset covers nothing, nor
        does one with another version, or whose job has failed.
        """
        found: dict[str, frozenset[ScoredBefore]] = {}
        for name in self._executions.names_running() if missing else ():
            covered = frozenset(self._covered(name, dataset, missing))
            if covered:
                found[name] = covered
        return found

    def _covered(self, execution_id: str, dataset: str, missing: Set[ScoredBefore]) -> Set[ScoredBefore]:
        record = execution_record(self._table, execution_id)
        if record is None or record.plan is None:
            return _requested(self._executions.input_of(execution_id), dataset, missing)
        original = original_execution(record, partial(execution_record, self._table))
        if original is None or not covers_whole_datasets(original.request_json):
            return frozenset()
        planned: set[tuple[str, str, bool]] = set()
        for parts in group_parts(jobs_of(self._table, execution_id)).values():
            job, has_failed = parts[0], any(part.status is JobStatus.FAILED for part in parts)
            if job.dataset == dataset and not has_failed:
                planned |= {(*pair, bool(job.fleet)) for pair in zip(job.model_ids, job.model_versions, strict=True)}
        return {item for item in missing if (item.id, item.version, item.is_fleet) in planned}


def _requested(request_json: str, dataset: str, missing: Set[ScoredBefore]) -> Set[ScoredBefore]:
    """Return what an execution that is not planned yet is going to score of the dataset, by its request.

    It takes the versions that are current. One that trains first covers nothing, because its versions
    are not known.
    """
    try:
        value: Any = parse_json(request_json, keep_surrogates=True)
        request = parse_request(value)
    except (JsonError, InvalidInputError):
        return frozenset()
    if request.dataset != dataset or request.train is not None or not covers_whole_datasets(request_json):
        return frozenset()
    return {item for item in missing if _names(request, item)}


def _names(request: ExecutionRequest, item: ScoredBefore) -> bool:
    named, others = (request.fleets, request.models) if item.is_fleet else (request.models, request.fleets)
    if named is None:
        return others is None
    return isinstance(named, tuple) and item.id in named
