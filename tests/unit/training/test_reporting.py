from hypothesis import given
from hypothesis import strategies as st

from contract.layout import TrainingPaths
from contract.status import FailureKind
from training.job import installed_version
from training.reporting import failure_line, write_failure


@given(st.sampled_from(FailureKind), st.text(max_size=2_000))
def test_a_failure_is_one_line_that_sagemaker_keeps_whole_and_begins_with_its_kind(
    kind: FailureKind, text: str
) -> None:
    line = failure_line(kind, text)
    assert line.startswith(f"{kind.value}:")
    assert len(line) <= 1_024
    assert "\n" not in line
    line.encode("utf-8")


def test_a_long_text_is_cut_with_a_sign_of_it() -> None:
    assert failure_line(FailureKind.DATA, "x" * 5_000) == "DATA: " + "x" * 1_017 + "…"


def test_it_lies_where_sagemaker_reads_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    write_failure(TrainingPaths(tmp_path), FailureKind.MODEL, "bad")
    assert (tmp_path / "output" / "failure").read_text() == "MODEL: bad"


def test_the_version_of_a_framework_is_that_of_its_library() -> None:
    assert installed_version("sklearn").count(".") >= 1
    assert installed_version("xgboost").count(".") >= 1
    assert installed_version("no-such-framework") == ""
