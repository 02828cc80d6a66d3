"""The decision table: what each kind of failure looks like, and whether the job is retried.

The first rule that matches is used. Texts and error names are those of Step Functions and
SageMaker, as their public documentation and logs show them.
"""

from lambdas.failures.failure_rule import FailureRule
from lambdas.failures.rules.container import CONTAINER
from lambdas.failures.rules.endings import ENDINGS
from lambdas.failures.rules.functions import FUNCTIONS
from lambdas.failures.rules.inputs import INPUTS
from lambdas.failures.rules.instances import INSTANCES
from lambdas.failures.rules.services import SERVICES

DECISION_TABLE: tuple[FailureRule, ...] = (
    *FUNCTIONS,
    # SageMaker reports a job that reached its runtime limit as Stopped, like a job that somebody
    # stopped, so these rules are in this order.
    *ENDINGS,
    # The container's own message is more precise than the service's message about the container.
    *CONTAINER,
    *INSTANCES,
    *INPUTS,
    *SERVICES,
)
