"""The queue that brings uploads: send delayed messages to it, and choose when failed ones come
back."""

from collections.abc import Sequence
from typing import Any

from lambdas.stage.observability import logger
from lambdas.stage.parallel import in_parallel

MAX_DELAY_SECONDS = 900
"""Longest delay of an SQS message."""
_BATCH_SIZE = 10
"""Most messages per ChangeMessageVisibilityBatch call."""


class UploadQueue:
    """One SQS queue."""

    def __init__(self, sqs: Any, queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    def send_later(self, body: str, seconds: float) -> None:
        """Send a message that arrives after this time, or after `MAX_DELAY_SECONDS` if that is
        sooner."""
        delay = max(0, min(MAX_DELAY_SECONDS, -int(-seconds // 1)))
        self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=body, DelaySeconds=delay)

    def retry_after(self, receipts: Sequence[tuple[str, int]]) -> None:
        """Have messages, given by receipt handle, delivered again after a number of seconds each.

        A failure is only logged: the messages then come back when the queue's own visibility
        timeout ends.
        """
        batches = [receipts[start : start + _BATCH_SIZE] for start in range(0, len(receipts), _BATCH_SIZE)]

        def change(batch: Sequence[tuple[str, int]]) -> None:
            entries = [
                {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                for index, (handle, seconds) in enumerate(batch)
            ]
            self._sqs.change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)

        try:
            for _ in in_parallel(change, batches):
                pass
        except Exception:
            logger.exception("the messages' visibility could not be changed")
