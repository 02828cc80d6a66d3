"""All corrections of ministack, in the order in which they are installed."""

from pathlib import Path

from embedded.ministack.arns import install_arn_cache
from embedded.ministack.cloudformation.new_names import install_new_names
from embedded.ministack.dynamodb.change_records import install_change_records
from embedded.ministack.dynamodb.expiry import install_expiry
from embedded.ministack.dynamodb.expressions import install_expression_cache
from embedded.ministack.dynamodb.indexes import install_index_sort_keys
from embedded.ministack.dynamodb.plain_requests.handler import install_fast_path
from embedded.ministack.dynamodb.plain_requests.transactions import install_token_digests
from embedded.ministack.dynamodb.rows import install_packed_rows
from embedded.ministack.dynamodb.values import install_value_caches, install_value_copies
from embedded.ministack.events.event_sources import (
    install_batch_actions,
    install_object_versions,
    install_queue_polling,
)
from embedded.ministack.events.message_moves import install_message_moves
from embedded.ministack.events.polling import install_idle_polling
from embedded.ministack.events.service_events import install_function_targets, install_no_event_log
from embedded.ministack.events.stream_records import install_stream_polling
from embedded.ministack.functions import (
    install_forked_workers,
    install_function_errors,
    install_lambda_actions,
    install_log_streams,
    install_worker_calls,
)
from embedded.ministack.glue import glue_resource_arn, install_partition_filters
from embedded.ministack.http.application import enforces_iam
from embedded.ministack.http.limits import install_limits
from embedded.ministack.http.request_memory import install_request_memory
from embedded.ministack.http.services import (
    ecr_resource_arn,
    events_resource_arn,
    iam_resource_arn,
    name_resources,
)
from embedded.ministack.iam.bus_policies import install_bus_policies
from embedded.ministack.iam.call_recording import install_call_recording
from embedded.ministack.iam.conditions import install_conditions
from embedded.ministack.iam.identity import (
    install_administrator,
    install_policy_cache,
)
from embedded.ministack.iam.simulation import install_simulation
from embedded.ministack.iam.template_check import install_condition_check
from embedded.ministack.images import install_missing_image_error
from embedded.ministack.monitoring.alarms import install_alarms, start_evaluation
from embedded.ministack.monitoring.logs import install_filter_patterns, install_log_limit, install_log_search
from embedded.ministack.monitoring.metrics import (
    install_embedded_metrics,
    install_execution_metrics,
    install_metric_queries,
)
from embedded.ministack.monitoring.packed_events import install_packed_events
from embedded.ministack.s3.buckets import install_bucket_not_empty_error, install_bucket_properties
from embedded.ministack.s3.checksums import install_checksums
from embedded.ministack.s3.copies import install_copies
from embedded.ministack.s3.listing import install_listings
from embedded.ministack.s3.object_contents import ContentStore, install_objects_on_disk
from embedded.ministack.s3.objects import (
    install_managed_key,
    install_multipart_times,
    install_parsed_encryption,
    install_restore_status,
)
from embedded.sagemaker.requests.condition_keys import CREATIONS, condition_keys
from embedded.server.endpoint import Endpoint
from embedded.step_functions import service
from embedded.step_functions.tasks import task_tokens

_ALARM_SECONDS = 10.0
"""Longest time between two evaluations of the alarms, in seconds. On AWS, it is a minute."""


def install_corrections(
    endpoint: Endpoint, store: ContentStore, *, time_scale: float, call_recording: Path | None
) -> None:
    """Let ministack answer as AWS does, and in less time.

    Args:
        store: Where the contents of objects are.
        time_scale: Factor for the seconds of Wait states and of retries.
        call_recording: Folder for a recording of the calls of roles; None means no recording.
    """
    install_arn_cache()
    service.install(time_scale)
    install_worker_calls()
    install_log_streams()
    install_function_errors()
    install_forked_workers()
    install_lambda_actions()
    install_object_versions()
    install_batch_actions()
    install_idle_polling()
    install_queue_polling(time_scale)
    install_stream_polling(time_scale)
    install_no_event_log()
    install_function_targets()
    _install_iam(endpoint, call_recording)
    install_missing_image_error()
    install_message_moves()
    _install_monitoring(time_scale)
    install_objects_on_disk(store)
    install_checksums()
    install_listings()
    install_copies()
    install_bucket_not_empty_error()
    install_bucket_properties()
    install_new_names()
    install_restore_status()
    install_parsed_encryption()
    install_multipart_times()
    install_managed_key()
    install_limits()
    install_partition_filters()
    install_expression_cache()
    install_value_caches()
    install_value_copies()
    install_index_sort_keys()
    install_packed_rows()
    install_change_records()
    install_expiry()
    install_token_digests()
    install_fast_path()
    name_resources("ecr", ecr_resource_arn)
    name_resources("glue", glue_resource_arn)
    name_resources("iam", iam_resource_arn)
    name_resources("events", events_resource_arn)
    name_resources("states", task_tokens.resource_arn)


def _install_iam(endpoint: Endpoint, call_recording: Path | None) -> None:
    if enforces_iam():
        install_administrator(endpoint.access_key_id, endpoint.secret_access_key)
    install_policy_cache()
    install_request_memory()
    install_conditions({f"sagemaker:{operation}": condition_keys for operation in CREATIONS})
    install_bus_policies()
    install_condition_check()
    install_simulation()
    if call_recording is not None:
        install_call_recording(call_recording)


def _install_monitoring(time_scale: float) -> None:
    install_packed_events()
    install_log_limit()
    install_log_search()
    install_filter_patterns()
    install_embedded_metrics()
    install_execution_metrics()
    install_metric_queries()
    install_alarms()
    start_evaluation(min(_ALARM_SECONDS, max(0.5, 60 * time_scale)))
