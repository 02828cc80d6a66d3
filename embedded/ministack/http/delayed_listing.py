"""Answers of list operations without their newest entries."""

import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from embedded.ministack.http.delayed_index import RecentWrites
from embedded.ministack.http.messages import Message, Receive, Send, answer

_TIMES = {
    "ListExecutions": ("executions", "startDate"),
    "ListProcessingJobs": ("ProcessingJobSummaries", "CreationTime"),
    "ListTrainingJobs": ("TrainingJobSummaries", "CreationTime"),
}
"""List and time of the entries, by operation."""
_QUERIES = ("Query", "Scan")
_OBJECT_LISTS = ("ListObjects", "ListObjectsV2")


def with_delay(
    application: Any, operation: str, parameters: dict[str, Any], seconds: float, writes: RecentWrites
) -> Any:
    """Wrap the application so that a list operation omits entries newer than some seconds."""

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)

        await application(scope, receive, keep)
        start = next(message for message in sent if message["type"] == "http.response.start")
        body = b"".join(message.get("body", b"") for message in sent)
        if start["status"] == 200:
            oldest_hidden = time.time() - seconds
            if operation in _OBJECT_LISTS:
                body = _without_new_objects(body, oldest_hidden)
            elif operation in _QUERIES:
                answered = writes.without_new(json.loads(body), parameters, oldest_hidden)
                body = json.dumps(answered).encode()
            else:
                body = _without_new(body, *_TIMES[operation], lambda moment: moment < oldest_hidden)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
        headers.pop("x-amz-crc32", None)
        await answer(send, start["status"], headers, body)

    return serve


def lists(operation: str, parameters: dict[str, Any]) -> bool:
    """Return whether an operation lists entries whose times are known."""
    is_of_index = operation in _QUERIES and "IndexName" in parameters
    return operation in _OBJECT_LISTS or operation in _TIMES or is_of_index


def _without_new(body: bytes, member: str, time_member: str, is_old: Callable[[float], bool]) -> bytes:
    content = json.loads(body)
    content[member] = [each for each in content.get(member) or [] if is_old(_seconds(each[time_member]))]
    return json.dumps(content).encode()


def _without_new_objects(body: bytes, oldest_hidden: float) -> bytes:
    root = ET.fromstring(body)  # noqa: S314 - the answer of our own server
    namespace = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    hidden = 0
    for entry in root.findall(f"{namespace}Contents"):
        modified = entry.findtext(f"{namespace}LastModified") or ""
        if _seconds(modified) >= oldest_hidden:
            root.remove(entry)
            hidden += 1
    count = root.find(f"{namespace}KeyCount")
    if count is not None and count.text:
        count.text = str(max(0, int(count.text) - hidden))
    if namespace:
        ET.register_namespace("", namespace.strip("{}"))
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _seconds(moment: Any) -> float:
    """Return a time of an answer in seconds since 1970."""
    if isinstance(moment, (int, float)):
        return float(moment)
    return datetime.fromisoformat(re.sub(r"Z$", "+00:00", str(moment))).timestamp()
