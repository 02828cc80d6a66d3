"""Start-up times that jobs show, and the cores and memory of instance types."""

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.sandbox.isolation import Isolation, probe
from cli.sandbox.program import SandboxedProgram
from embedded.sagemaker.instances.capacity import Cores
from embedded.sagemaker.instances.settings import InstanceSettings, InstanceSettingsFile
from embedded.sagemaker.jobs.job import Job, Status
from embedded.sagemaker.service import SageMakerService
from tests.unit.embedded.sagemaker.account import Aws, job_request, outputs_to, results, run, start
from tests.unit.embedded.sagemaker.conftest import ServiceMaker
from tests.unit.embedded.sagemaker.jobs.training import requests as training

BuildImage = Callable[..., str]
STARTUP = 240.0

needs_namespaces = pytest.mark.skipif(not probe().has_namespaces, reason="a memory limit is shown in a mount namespace")


def configure(root: Path, settings: InstanceSettings) -> None:
    InstanceSettingsFile(root, probe()).set(settings)


def test_a_processing_job_shows_its_virtual_startup_everywhere(
    make_service: ServiceMaker, aws: Aws, build_image: BuildImage, tmp_path: Path
) -> None:
    announced: list[tuple[str, float]] = []

    def announce(job: Job) -> None:
        announced.append((str(job.status), job.describe()["CreationTime"]))

    service = make_service(root=tmp_path / "sagemaker", announce=announce)
    configure(tmp_path / "sagemaker", InstanceSettings(startup_seconds=STARTUP))
    began = datetime.now(UTC).timestamp()
    described = run(service, job_request(aws, build_image("")))
    took = datetime.now(UTC).timestamp() - began

    assert took < STARTUP / 4
    created = described["CreationTime"]
    assert created == pytest.approx(began - STARTUP, abs=took + 1)
    assert STARTUP <= described["ProcessingStartTime"] - created <= STARTUP + took
    assert 0 <= described["ProcessingEndTime"] - described["ProcessingStartTime"] <= took
    assert announced == [("InProgress", created), ("Completed", created)]
    [summary] = (service.call("ListProcessingJobs", {}) or {})["ProcessingJobSummaries"]
    assert summary["CreationTime"] == created


def test_a_training_job_is_not_billed_for_its_virtual_startup(
    make_service: ServiceMaker, aws: Aws, build_image: BuildImage, tmp_path: Path, prefix: str
) -> None:
    service = make_service(root=tmp_path / "sagemaker")
    configure(tmp_path / "sagemaker", InstanceSettings(startup_seconds=STARTUP))
    described = training.run(service, training.training_request(aws, build_image(""), prefix))

    assert described["TrainingStartTime"] - described["CreationTime"] >= STARTUP
    assert described["BillableTimeInSeconds"] <= described["TrainingTimeInSeconds"] + 1 < STARTUP
    assert described["SecondaryStatusTransitions"][0]["StartTime"] == described["CreationTime"]


def test_a_job_really_waits_for_the_part_that_the_setting_names(
    make_service: ServiceMaker, aws: Aws, build_image: BuildImage, tmp_path: Path
) -> None:
    service = make_service(root=tmp_path / "sagemaker")
    configure(tmp_path / "sagemaker", InstanceSettings(startup_seconds=0.4, startup_waited=0.5))
    before = time.monotonic()
    described = run(service, job_request(aws, build_image("")))
    assert time.monotonic() - before >= 0.2
    assert described["ProcessingStartTime"] - described["CreationTime"] >= 0.399


def test_a_job_that_is_stopped_while_it_starts_up_never_starts(
    make_service: ServiceMaker, aws: Aws, build_image: BuildImage, tmp_path: Path
) -> None:
    service = make_service(root=tmp_path / "sagemaker")
    configure(tmp_path / "sagemaker", InstanceSettings(startup_seconds=3_600, startup_waited=1.0))
    job = start(service, job_request(aws, build_image("")))
    assert service.stop(job)
    assert job.wait(30)
    assert job.status is Status.STOPPED
    assert "ProcessingStartTime" not in job.describe()


SHOW_SIZE = """
(OUTPUT / "result").mkdir(parents=True, exist_ok=True)
found = {"memory": int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text()), "cores": len(os.sched_getaffinity(0))}
(OUTPUT / "result/size.json").write_text(json.dumps(found))
"""


@needs_namespaces
def test_a_container_finds_the_cores_and_memory_of_its_instance_type(
    service: SageMakerService, aws: Aws, build_image: BuildImage, tmp_path: Path, prefix: str
) -> None:
    configure(tmp_path / "sagemaker-0", InstanceSettings(size="instance-type"))
    request = job_request(aws, build_image(SHOW_SIZE), ProcessingOutputConfig=outputs_to(aws, prefix))
    assert run(service, request)["ProcessingJobStatus"] == "Completed"
    found: dict[str, Any] = json.loads(results(aws, prefix)["size.json"])
    assert found == {"memory": 8 << 30, "cores": min(2, len(os.sched_getaffinity(0)))}  # ml.m5.large


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux limits a process to some cores")
def test_a_sandboxed_program_uses_only_its_cores(any_isolation: Isolation) -> None:
    last = max(os.sched_getaffinity(0))
    argv = ["/bin/sh", "-c", "grep Cpus_allowed_list: /proc/self/status"]
    done = SandboxedProgram(argv, cores=[last]).run(any_isolation.kind)
    assert done.stdout.split() == [b"Cpus_allowed_list:", str(last).encode()]


def test_cores_go_to_those_that_nobody_uses() -> None:
    cores = Cores([0, 1, 2, 3])
    with cores.lent(2) as first, cores.lent(2) as second:
        assert (first, second) == ([0, 1], [2, 3])
        with cores.lent(3) as third:
            assert len(set(third)) == 3
    with cores.lent(1) as again, cores.lent(4) as every, cores.lent(None) as unlimited:
        assert (again, every, unlimited) == ([0], [], [])


def test_wrong_startup_times_and_sizes_are_refused_together() -> None:
    expected = r"startup_seconds: got -1.*; startup_waited: got 2.*; size: got 'small'"
    with pytest.raises(ValueError, match=expected):
        InstanceSettings(startup_seconds=-1, startup_waited=2, size="small")  # type: ignore[arg-type]
