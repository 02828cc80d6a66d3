"""The queue of uploads: send delayed messages, and set when failed messages are delivered again."""

from collections.abc import Sequence
from typing import Any

from lambdas.stage.observability import logger
from lambdas.stage.parallel import in_parallel

MAX_DELAY_SECONDS = 900
"""Longest delay of an SQS message, in seconds."""
_BATCH_SIZE = 10
"""Maximum number of messages per ChangeMessageVisibilityBatch call."""


class UploadQueue:
    """One SQS queue."""

    def __init__(self, sqs: Any, queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    def send_later(self, body: str, seconds: float) -> None:
        """Send a message with this delay, limited to `MAX_DELAY_SECONDS`."""
        delay = max(0, min(MAX_DELAY_SECONDS, -int(-seconds // 1)))
        self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=body, DelaySeconds=delay)

    def retry_after(self, receipts: Sequence[tuple[str, int]]) -> None:
        """Set the seconds after which each message is delivered again, by receipt handle.

        A failure is only logged: the messages are then delivered again after the queue's own
        visibility timeout.
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
