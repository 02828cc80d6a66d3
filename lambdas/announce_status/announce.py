"""Announce every status change: turn records of the table's stream into events and send them to the
stage's bus."""

from collections.abc import Iterable, Iterator

from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord

from contract import codec
from contract.table import events, records
from contract.table.records import ExecutionRecord, JobRecord
from lambdas.stage.messaging.event_bus import Event, EventBus


def announce_status(stream_records: Iterable[DynamoDBRecord], bus: EventBus, stage: str) -> int:
    """Send the events of these records and return their number.

    A second call with the same records sends the same events again, with the same ids.

    Raises:
        EventsRefusedError: when EventBridge did not accept all of them; the stream then delivers
            the records again.
    """
    return bus.put(status_events(stream_records, stage))


def status_events(stream_records: Iterable[DynamoDBRecord], stage: str) -> Iterator[Event]:
    """Yield the event of each record that changed a status, in the records' order.

    Raises:
        InvalidInputError: when a record comes from another release.
    """
    for record in stream_records:
        if record.dynamodb is None or not record.dynamodb.new_image:
            continue
        item, before = record.dynamodb.new_image, record.dynamodb.old_image
        change: events.ExecutionStatusChange | events.JobStatusChange | None = None
        detail_type = events.JOB_DETAIL_TYPE
        if item[records.SORT_KEY] == records.EXECUTION_SORT_KEY:
            detail_type = events.EXECUTION_DETAIL_TYPE
            execution_before = records.read_item(ExecutionRecord, before) if before else None
            execution = records.read_item(ExecutionRecord, item)
            change = events.execution_event(stage, execution, execution_before)
            if risk := events.deadline_event(stage, execution, execution_before):
                yield Event.from_json(events.SOURCE, events.DEADLINE_DETAIL_TYPE, codec.to_json(risk))
        elif item[records.SORT_KEY].startswith(records.JOB_SORT_PREFIX):
            job_before = records.read_item(JobRecord, before) if before else None
            change = events.job_event(stage, records.read_item(JobRecord, item), job_before)
        if change is not None:
            yield Event.from_json(events.SOURCE, detail_type, codec.to_json(change))
