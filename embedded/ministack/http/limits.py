"""Size limits of AWS that neither ministack nor botocore's models enforce."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import json
import re
from typing import Any

from embedded.ministack.functions.worker_calls import take_answer_bytes

EVENTS_BYTES = 256 * 1024
"""Largest size of all entries of a PutEvents request, in bytes."""
_EVENT_TIME_BYTES = 14
"""Size of an entry's time, in bytes."""
ENVIRONMENT_BYTES = 4 * 1024
"""Largest size of a function's environment variables as JSON, in bytes."""
INVOCATION_BYTES = {"RequestResponse": 6 * 1024 * 1024, "Event": 1024 * 1024}
"""Largest payload by invocation type, in bytes."""
RESPONSE_BYTES = 6_291_556
"""Largest response of a function, in bytes."""
BATCH_GET_BYTES = 16 * 1024 * 1024
"""Largest size of the items that BatchGetItem returns, in bytes."""
KEY_BYTES = 1_024
"""Longest key of an object, in bytes."""
ROLE_POLICIES_CHARACTERS = 10_240
"""Largest size of all inline policies of a role, in characters without white space."""
MANAGED_POLICY_CHARACTERS = 6_144
"""Largest size of a managed policy, in characters without white space."""

Record = dict[str, Any]


def install_limits() -> None:
    """Refuse requests above the limits, with the error codes and texts of AWS."""
    _limit_events()
    _limit_environments()
    _limit_invocations()
    _limit_batches()
    _limit_keys()
    _limit_policies()


def _limit_events() -> None:
    from ministack.services import eventbridge

    ministack_put = eventbridge._put_events

    def put(request: Record, allow_aws_source: bool = False) -> Any:
        if not allow_aws_source and sum(map(_event_bytes, request.get("Entries", []))) > EVENTS_BYTES:
            text = "Total size of the entries in the request is over the limit."
            return eventbridge.error_response_json("ValidationException", text, 400)
        return ministack_put(request, allow_aws_source)

    eventbridge._put_events = put


def _event_bytes(entry: Record) -> int:
    parts = [entry.get(name) or "" for name in ("Source", "DetailType", "Detail")] + (entry.get("Resources") or [])
    # Step Functions gives the detail as an object.
    texts = [part if isinstance(part, str) else json.dumps(part) for part in parts]
    return sum(len(text.encode()) for text in texts) + (_EVENT_TIME_BYTES if "Time" in entry else 0)


def _limit_environments() -> None:
    from ministack.services import lambda_svc
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    ministack_create, ministack_update = lambda_svc._create_function, lambda_svc._update_config
    provision, provision_update = handlers["create"], handlers["update"]

    def refusal(problem: str) -> Any:
        return lambda_svc.error_response_json("InvalidParameterValueException", problem, 400)

    def create(request: Record) -> Any:
        problem = _environment_problem(request)
        return refusal(problem) if problem else ministack_create(request)

    def update(name: str, request: Record) -> Any:
        problem = _environment_problem(request)
        return refusal(problem) if problem else ministack_update(name, request)

    def provision_checked(logical_id: str, properties: Record, stack_name: str) -> Any:
        _raise(_environment_problem(properties))
        return provision(logical_id, properties, stack_name)

    def provision_update_checked(physical_id: str, old: Record, new: Record, *rest: Any, **named: Any) -> Any:
        _raise(_environment_problem(new))
        return provision_update(physical_id, old, new, *rest, **named)

    lambda_svc._create_function, lambda_svc._update_config = create, update
    handlers["create"], handlers["update"] = provision_checked, provision_update_checked


def _environment_problem(function: Record) -> str:
    """Return why Lambda refuses the environment of a function; empty when it fits."""
    variables = (function.get("Environment") or {}).get("Variables") or {}
    text = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode()) <= ENVIRONMENT_BYTES:
        return ""
    return (
        "Lambda was unable to configure your environment variables because the environment variables you have "
        f"provided exceeded the 4KB limit. String measured: {text}"
    )


def _raise(problem: str) -> None:
    if problem:
        raise ValueError(f"Resource handler returned message: {problem} (Service: Lambda, Status Code: 400)")


def _limit_invocations() -> None:
    from ministack.services import lambda_svc

    ministack_handle, ministack_execute = lambda_svc.handle_request, lambda_svc._execute_function_warm

    async def handle_request(method: str, path: str, headers: Record, body: bytes, query: Any) -> Any:
        if method == "POST" and path.rstrip("/").endswith("/invocations"):
            named = {name.lower(): value for name, value in headers.items()}
            kind = named.get("x-amz-invocation-type", "RequestResponse")
            limit = INVOCATION_BYTES.get(kind)
            if limit is not None and len(body) > limit:
                text = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
                if kind == "Event":
                    text = f"{len(body)} byte payload is too large for the Event invocation type (limit {limit} bytes)"
                return lambda_svc.error_response_json("RequestEntityTooLargeException", text, 413)
        return await ministack_handle(method, path, headers, body, query)

    def execute(*arguments: Any, **named: Any) -> Record:
        take_answer_bytes()
        result: Record = ministack_execute(*arguments, **named)
        if not result.get("error") and _is_too_large(result.get("body"), take_answer_bytes()):
            text = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES} bytes)."
            failure = {"errorMessage": text, "errorType": "Function.ResponseSizeTooLarge"}
            return {**result, "body": failure, "error": True}
        return result

    lambda_svc.handle_request, lambda_svc._execute_function_warm = handle_request, execute


def _is_too_large(answer: Any, received_bytes: int | None) -> bool:
    """Return whether a function's answer is above the limit. The text that was received is never smaller."""
    if received_bytes is not None and received_bytes <= RESPONSE_BYTES:
        return False
    return len(json.dumps(answer, ensure_ascii=False).encode()) > RESPONSE_BYTES


def _limit_batches() -> None:
    """Return the keys of a BatchGetItem beyond 16 MB of items as UnprocessedKeys."""
    from ministack.services import dynamodb

    ministack_batch_get = dynamodb._batch_get_item

    def size(table_name: str, key: Record) -> int:
        table = dynamodb._tables.get(dynamodb._normalize_table_name(table_name))
        partition, sort, problem = dynamodb._resolve_table_key_values(table, key, False) if table else ("", "", True)
        return 0 if problem else int(dynamodb._item_size_bytes(table["items"].get(partition, {}).get(sort)))

    def batch_get(request: Record) -> Any:
        tables = [each for each in (request.get("RequestItems") or {}).values() if isinstance(each, dict)]
        if sum(len(each.get("Keys") or ()) for each in tables) * dynamodb._DDB_ITEM_MAX_BYTES <= BATCH_GET_BYTES:
            return ministack_batch_get(request)  # not even the largest items are too large together
        left, taken, later = BATCH_GET_BYTES, {}, {}
        for table_name, wanted in (request.get("RequestItems") or {}).items():
            keys = wanted.get("Keys") or []
            count = 0
            for key in keys:
                left -= size(table_name, key)
                if left < 0:
                    break
                count += 1
            if count or not keys:
                taken[table_name] = {**wanted, "Keys": keys[:count]}
            if keys[count:]:
                later[table_name] = {**wanted, "Keys": keys[count:]}
        if not later:
            return ministack_batch_get(request)
        status, headers, body = ministack_batch_get({**request, "RequestItems": taken})
        if status != 200:
            return status, headers, body
        answer = json.loads(body)
        return dynamodb.json_response({**answer, "UnprocessedKeys": {**answer["UnprocessedKeys"], **later}})

    dynamodb._batch_get_item = batch_get


def _limit_keys() -> None:
    from ministack.services import s3

    def limited(write: Any) -> Any:
        def checked(bucket: str, key: str, *rest: Any, **named: Any) -> Any:
            size = len(key.encode())
            if size > KEY_BYTES:
                extra = {"Size": str(size), "MaxSizeAllowed": str(KEY_BYTES)}
                return s3._error("KeyTooLongError", "Your key is too long", 400, extra=extra)
            return write(bucket, key, *rest, **named)

        return checked

    for name in ("_put_object", "_copy_object", "_create_multipart_upload"):
        setattr(s3, name, limited(getattr(s3, name)))


def _limit_policies() -> None:
    from ministack.services import iam

    put_role_policy, create_policy = iam._put_role_policy, iam._create_policy

    def put(request: Record) -> Any:
        name = iam._p(request, "RoleName")
        policies = dict((iam._roles.get(name) or {}).get("InlinePolicies", {}))
        policies[iam._p(request, "PolicyName")] = iam._p(request, "PolicyDocument")
        if sum(map(_policy_characters, policies.values())) > ROLE_POLICIES_CHARACTERS:
            text = f"Maximum policy size of {ROLE_POLICIES_CHARACTERS} bytes exceeded for role {name}"
            return iam._error(409, "LimitExceeded", text)
        return put_role_policy(request)

    def create(request: Record) -> Any:
        if _policy_characters(iam._p(request, "PolicyDocument")) > MANAGED_POLICY_CHARACTERS:
            text = f"Cannot exceed quota for PolicySize: {MANAGED_POLICY_CHARACTERS}"
            return iam._error(409, "LimitExceeded", text)
        return create_policy(request)

    iam._put_role_policy = iam._IAM_HANDLERS["PutRolePolicy"] = put
    iam._create_policy = iam._IAM_HANDLERS["CreatePolicy"] = create


def _policy_characters(document: Any) -> int:
    return len(re.sub(r"\s", "", document if isinstance(document, str) else json.dumps(document)))
