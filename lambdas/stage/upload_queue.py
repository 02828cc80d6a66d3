"""What StartOnUpload says to Step Functions and to its queue."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lambdas.stage.observability import logger
from lambdas.stage.parallel import in_parallel
from lambdas.start_on_upload.messages import WindowEnd, window_end_text

LONGEST_DELAY_SECONDS = 900
"""SQS delays no message for longer."""
_BATCH = 10


class Outside:
    """Both are safe to call twice: an execution's name is an intent, and a reminder changes nothing by itself."""

    def __init__(self, states: Any, sqs: Any, *, state_machine_arn: str, queue_url: str) -> None:
        self._states = states
        self._sqs = sqs
        self._state_machine_arn = state_machine_arn
        self._queue_url = queue_url

    def start_execution(self, name: str, request: Mapping[str, Any]) -> bool:
        """Start an execution unless one of this name was started before; says whether this call did.

        Raises:
            ClientError: when Step Functions refuses for now, such as ThrottlingException or ExecutionLimitExceeded.
        """
        text = json.dumps(request, ensure_ascii=False, sort_keys=True)
        try:
            self._states.start_execution(stateMachineArn=self._state_machine_arn, name=name, input=text)
        except self._states.exceptions.ExecutionAlreadyExists:
            return False
        return True

    def end_window_later(self, end: WindowEnd, seconds: float) -> None:
        """Have the queue remind us of a window. One that lasts longer than a message waits is put off again then."""
        delay = max(0, min(LONGEST_DELAY_SECONDS, -int(-seconds // 1)))
        self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=window_end_text(end), DelaySeconds=delay)

    def show_again(self, receipts: Sequence[tuple[str, int]]) -> None:
        """Let messages, by receipt handle, come back after so many seconds; without it they do so later."""
        batches = [receipts[start : start + _BATCH] for start in range(0, len(receipts), _BATCH)]

        def change(batch: Sequence[tuple[str, int]]) -> None:
            entries = [
                {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                for index, (handle, seconds) in enumerate(batch)
            ]
            self._sqs.change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)

        _or_log(lambda: list(in_parallel(change, batches)))


def _or_log(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:
        # The messages come back in any case, when the queue's own visibility timeout is over.
        logger.exception("the messages' visibility could not be changed")
