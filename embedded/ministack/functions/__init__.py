"""Lambda functions in ministack's local workers, with errors, imports and IAM actions as on AWS."""

from embedded.ministack.functions.actions import install_lambda_actions
from embedded.ministack.functions.log_streams import install_log_streams
from embedded.ministack.functions.worker_calls import install_worker_calls
from embedded.ministack.functions.workers import (
    install_forked_workers,
    install_function_errors,
    stop_function_workers,
)

__all__ = [
    "install_forked_workers",
    "install_function_errors",
    "install_lambda_actions",
    "install_log_streams",
    "install_worker_calls",
    "stop_function_workers",
]
