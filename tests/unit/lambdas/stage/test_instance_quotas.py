"""Quotas are those of Service Quotas, which is asked rarely, also by a function that writes nothing."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from contract.pool.pool_records import JobKind
from embedded.quotas.service import ServiceQuotas
from lambdas.stage.instance_quotas import PLAN_AGE, InstanceQuotas
from tests.unit.lambdas.builders import REGION, Stage

TYPE = "ml.m5.xlarge"


class Account:
    """Service Quotas of an account, and a clock."""

    def __init__(self, stage: Stage) -> None:
        self.pools = stage.deployment.pools
        self.now = datetime(2026, 3, 1, tzinfo=UTC)
        self.pages = 0
        self._service = ServiceQuotas(REGION, "123456789012")
        self.client = boto3.client("service-quotas")
        self.client.meta.events.register("provide-client-params.service-quotas", self._keep)
        self.client.meta.events.register("before-call.service-quotas", self._answer)

    def quotas(self, *, writes: bool) -> InstanceQuotas:
        return InstanceQuotas(self.pools, {}, lambda: self.client, lambda: self.now, writes=writes)

    def set(self, value: int) -> None:
        listed = self.client.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
        quotas = [quota for page in listed for quota in page["Quotas"]]
        [code] = [quota["QuotaCode"] for quota in quotas if quota["QuotaName"] == f"{TYPE} for processing job usage"]
        self.client.request_service_quota_increase(ServiceCode="sagemaker", QuotaCode=code, DesiredValue=value)
        self.pages = 0

    def _keep(self, params: dict[str, Any], **_: Any) -> None:
        self._request = dict(params)

    def _answer(self, model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        self.pages += 1
        return SimpleNamespace(status_code=200), self._service.call(model.name, self._request)


@pytest.fixture
def account(stage: Stage) -> Account:
    return Account(stage)


def test_a_function_that_writes_nothing_reads_the_account_once_a_day(account: Account) -> None:
    account.set(7)
    quotas = account.quotas(writes=False)
    assert quotas.fresh(PLAN_AGE).of(JobKind.PROCESSING, TYPE) == 7
    assert account.pools.quotas() is None
    read, account.now = account.pages, account.now + PLAN_AGE - timedelta(seconds=1)
    assert quotas.fresh(PLAN_AGE).of(JobKind.PROCESSING, TYPE) == 7
    assert account.pages == read > 0
    account.set(8)
    account.now += timedelta(seconds=2)
    assert quotas.fresh(PLAN_AGE).of(JobKind.PROCESSING, TYPE) == 8


def test_what_another_function_has_written_later_counts(account: Account) -> None:
    account.set(7)
    reader, writer = account.quotas(writes=False), account.quotas(writes=True)
    reader.fresh(PLAN_AGE)
    account.set(9)
    account.now += timedelta(hours=1)
    writer.fresh()
    read = account.pages
    assert reader.fresh(PLAN_AGE).of(JobKind.PROCESSING, TYPE) == 9
    assert account.pages == read
