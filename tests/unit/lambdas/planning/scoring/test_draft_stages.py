from contract.catalog.models import Compute, ModelVersion
from contract.job.limits import MAX_COMMITS
from contract.job.scoring_spec import PinnedObject
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.planning.scoring.choose_models import choose_by_id, choose_from_catalog
from lambdas.planning.scoring.form_groups import form_groups
from lambdas.planning.scoring.form_jobs import check_commit_counts, form_jobs
from tests.unit.lambdas.builders import STAGE_COMPUTE, any_model_spec, assign, snapshots_of


def test_the_requests_tolerance_overrides_the_models() -> None:
    version = ModelVersion(spec=any_model_spec(tolerated_quarantine_fraction=0.25), dataset="d")
    objects = {"d": (PinnedObject("a.parquet", 1, "e"),)}

    def planned(request: ExecutionRequest) -> float:
        (job,) = form_jobs(form_groups(request, assign(version), snapshots_of(objects), STAGE_COMPUTE))
        return job.models[0].tolerated_quarantine_fraction

    assert planned(ExecutionRequest()) == 0.25
    assert planned(ExecutionRequest(tolerated_quarantine_fraction=0.0)) == 0.0


def test_the_largest_jobs_come_first() -> None:
    versions = [ModelVersion(spec=any_model_spec(name), dataset=name) for name in ("a", "b", "c", "d")]
    sizes = {"a": 1, "b": 9, "c": 5, "d": 9}
    objects = {name: (PinnedObject("a.parquet", size, "e"),) for name, size in sizes.items()}
    jobs = form_jobs(form_groups(ExecutionRequest(), assign(*versions), snapshots_of(objects), STAGE_COMPUTE))
    assert [job.job_id for job in jobs] == ["b", "d", "c", "a"]


def test_a_job_never_gets_more_instances_than_objects() -> None:
    objects = {"d": tuple(PinnedObject(f"{number}.parquet", 1, "e") for number in range(3))}
    version = ModelVersion(spec=any_model_spec(), dataset="d", compute=Compute(instance_count=50))
    (job,) = form_jobs(form_groups(ExecutionRequest(), assign(version), snapshots_of(objects), STAGE_COMPUTE))
    assert job.compute.instance_count == 3


def test_similar_ids_are_searched_only_for_the_first_unknown_ids() -> None:
    """A search reads the whole catalog, and a request can have 40,000 unknown ids."""
    _, problems = choose_by_id(["delay-ua"] * 5_000, {}, ["delays-ua"])
    assert "Did you mean 'delays-ua'" in str(problems[49])
    assert "`fleetscore models list`" in str(problems[50])


def test_an_unknown_id_without_a_similar_one_names_the_list_command() -> None:
    _, problems = choose_by_id(["zzz"], {}, ["delays-ua"])
    assert "`fleetscore models list`" in str(problems[0])


def test_an_empty_catalog_says_how_to_register() -> None:
    assert "`fleetscore models register`" in str(choose_from_catalog(None, [])[1][0])


def test_a_job_with_too_many_commits_is_refused() -> None:
    objects = {"d": tuple(PinnedObject(f"{number}.parquet", 1, "e") for number in range(MAX_COMMITS // 2 + 1))}
    versions = [ModelVersion(spec=any_model_spec(name), dataset="d") for name in ("a", "b")]
    apart = form_jobs(form_groups(ExecutionRequest(), assign(*versions), snapshots_of(objects), STAGE_COMPUTE))
    together = form_jobs(
        form_groups(ExecutionRequest(models_per_job=2), assign(*versions), snapshots_of(objects), STAGE_COMPUTE)
    )
    assert check_commit_counts(apart) == []
    (problem,) = check_commit_counts(together)
    assert f"{MAX_COMMITS // 2 + 1:,} objects for 2 models" in str(problem)
    assert "Lower models_per_job" in str(problem)
