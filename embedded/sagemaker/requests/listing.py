"""List operations and tags: filters, order and pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from embedded.sagemaker.errors import ApiError, validation_error
from embedded.sagemaker.jobs.job import Job, JobKind
from embedded.sagemaker.requests.coverage import Coverage, tag_problems

_JOBS_PER_PAGE = 10
_TAGS_PER_PAGE = 50
_MAX_TAGS = 50

_REFUSED_FILTERS = {
    "WarmPoolStatusEquals": "there are no warm pools",
    "TrainingPlanArnEquals": "training plans do not exist here",
}


def list_jobs(kind: JobKind, jobs: Sequence[Job], request: dict[str, Any]) -> dict[str, Any]:
    """Return one page of a List operation, by default sorted by creation time, oldest first.

    Raises:
        ApiError: A filter is not supported, or the token is not valid.
    """
    if problems := Coverage({}, _REFUSED_FILTERS).problems(request):
        raise validation_error(problems)
    chosen = [job for job in jobs if _matches(job, request)]

    def order(job: Job) -> tuple[Any, ...]:
        created = job.created_at.timestamp()
        by = {"Name": (), "Status": (str(job.status), created), "CreationTime": (created,)}
        return (*by[request.get("SortBy", "CreationTime")], job.name)

    chosen.sort(key=order, reverse=request.get("SortOrder") == "Descending")
    size = request.get("MaxResults", _JOBS_PER_PAGE)
    start = 0
    if after := _read_token(request):
        names = [job.name for job in chosen]
        if after not in names:
            raise _bad_token()
        start = names.index(after) + 1
    page = chosen[start : start + size]
    answer: dict[str, Any] = {kind.member("Summaries"): [job.summarize() for job in page]}
    if start + size < len(chosen):
        answer["NextToken"] = _token(page[-1].name)
    return answer


def _matches(job: Job, request: dict[str, Any]) -> bool:
    created, modified = job.created_at.timestamp(), job.modified_at.timestamp()
    return (
        created > request.get("CreationTimeAfter", float("-inf"))
        and created < request.get("CreationTimeBefore", float("inf"))
        and modified > request.get("LastModifiedTimeAfter", float("-inf"))
        and modified < request.get("LastModifiedTimeBefore", float("inf"))
        and request.get("NameContains", "") in job.name
        and request.get("StatusEquals", job.status) == job.status
    )


def list_tags(tags: dict[str, str], request: dict[str, Any]) -> dict[str, Any]:
    """Return one page of ListTags.

    Raises:
        ApiError: The token is not valid.
    """
    keys = list(tags)
    start = 0
    if after := _read_token(request):
        if after not in keys:
            raise _bad_token()
        start = keys.index(after) + 1
    size = request.get("MaxResults", _TAGS_PER_PAGE)
    page = keys[start : start + size]
    answer: dict[str, Any] = {"Tags": as_tag_list({key: tags[key] for key in page})}
    if start + size < len(keys):
        answer["NextToken"] = _token(page[-1])
    return answer


def add_tags(tags: dict[str, str], added: list[dict[str, str]]) -> None:
    """Add or overwrite tags in place.

    Raises:
        ApiError: A tag is not valid, or there are too many.
    """
    if problems := tag_problems("Tags", added):
        raise validation_error(problems)
    merged = {**tags, **{tag["Key"]: tag["Value"] for tag in added}}
    if len(merged) > _MAX_TAGS:
        raise ApiError("ResourceLimitExceeded", f"a resource has at most {_MAX_TAGS} tags: this would be {len(merged)}")
    tags.update(merged)


def as_tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _token(after: str) -> str:
    return base64.urlsafe_b64encode(json.dumps({"after": after}).encode()).decode()


def _read_token(request: dict[str, Any]) -> str | None:
    token = request.get("NextToken")
    if not token:
        return None
    try:
        return str(json.loads(base64.urlsafe_b64decode(token))["after"])
    except (ValueError, KeyError, TypeError) as error:
        raise _bad_token() from error


def _bad_token() -> ApiError:
    return ApiError("ValidationException", "The NextToken is not valid for this request: repeat the request without it")
