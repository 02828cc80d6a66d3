"""Patterns of instance types, and which types have local storage."""

import botocore.session
import pytest

from contract.catalog.instance_types import check_allowed, has_local_storage, matches

WITH_LOCAL_STORAGE = {
    "g4dn", "g5", "g6", "g6e", "g7", "g7e", "p3dn", "p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300",
    "p6e-gb200", "r5d", "trn1", "trn1n", "trn2",
}  # fmt: skip
WITHOUT = {
    "c4", "c5", "c5n", "c6i", "c7i", "c7i-flex", "c8i", "c8i-flex", "m4", "m5", "m6i", "m7i", "m7i-flex", "m8i",
    "m8i-flex", "p2", "p3", "r5", "r6i", "r7i", "r8i", "r8i-flex", "t3",
}  # fmt: skip


@pytest.mark.parametrize("shape", ["ProcessingInstanceType", "TrainingInstanceType"])
def test_local_storage_is_known_of_every_instance_type_of_sagemaker(shape: str) -> None:
    types = botocore.session.get_session().get_service_model("sagemaker").shape_for(shape).enum
    assert len(types) > 50
    assert {name.split(".")[1] for name in types} <= WITH_LOCAL_STORAGE | WITHOUT
    wrong = [name for name in types if has_local_storage(name) != (name.split(".")[1] in WITH_LOCAL_STORAGE)]
    assert wrong == []


def test_patterns_match_as_in_iam() -> None:
    assert matches("ml.m5.xlarge", ["ml.m?.xlarge"])
    assert not matches("ml.m5.xlarge", ["ml.m?.x", "ML.M5.XLARGE", "ml.m5.xlarg[e]"])


def test_a_refused_type_names_the_allowed_types_and_the_setting() -> None:
    (problem,) = check_allowed("instance_type", "ml.p4d.24xlarge", ["ml.m*", "ml.c5.*"])
    assert "'ml.p4d.24xlarge'" in str(problem)
    assert "ml.m*, ml.c5.*" in str(problem)
    assert "instance_types" in str(problem)
