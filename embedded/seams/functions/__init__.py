"""Lambda functions in ministack's local workers, with errors, imports and IAM actions as on AWS."""

from embedded.seams.functions.actions import install_lambda_actions
from embedded.seams.functions.workers import (
    MinistackChangedError,
    install_forked_workers,
    install_function_errors,
    stop_function_workers,
)

__all__ = [
    "MinistackChangedError",
    "install_forked_workers",
    "install_function_errors",
    "install_lambda_actions",
    "stop_function_workers",
]
