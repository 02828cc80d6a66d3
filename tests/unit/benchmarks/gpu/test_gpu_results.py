"""The check on a GPU fails when predictions differ, and its table shows what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu.results import Part, Results, difference


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ([1.0, -100.0], ""),
        ([1.00009, -100.009], ""),
        ([1.001, -100.0], "1 of 2 predictions differ .* in row 0"),
        ([1.0, np.nan], "1 of 2 predictions differ .* in row 1"),
        ([1.0], "1 predictions, expected 2"),
    ],
)
def test_predictions_must_agree_within_the_tolerance(found: list[float], problem: str) -> None:
    result = difference(np.array(found), np.array([1.0, -100.0]), relative=1e-4, absolute=1e-5)
    assert bool(result.problem) == bool(problem)
    if problem:
        with pytest.raises(AssertionError, match=problem):
            raise AssertionError(result.problem)


def test_report_has_a_row_per_format_and_names_what_did_not_pass(tmp_path: Path) -> None:
    results = Results({"summary": "1 GPU(s), Some GPU"})
    found = {
        "device": "gpu",
        "rows_per_second": 1_000_000,
        "cpu_rows_per_second": 20_000,
        "largest_difference": 2e-6,
    }
    results.add(Part("torchscript", "predictions", "passed", "", found))
    results.add(Part("torchscript", "out of memory", "passed", "", {"batch_rows": 65_536, "smallest_batch": 8_192}))
    results.add(Part("keras", "predictions", "skipped", "tensorflow is not installed"))
    assert not results.failed
    results.add(Part("torchscript", "job", "failed", "the job ended with exit status 1"))
    assert results.failed

    results.write(tmp_path)

    text = (tmp_path / "gpu.md").read_text()
    assert text.startswith("1 GPU(s), Some GPU.\n")
    assert "| torchscript | gpu | 1,000,000 | 20,000 |  |  | 2.0e-06 | 65,536 | 8,192 |" in text
    assert "- keras, predictions: skipped: tensorflow is not installed" in text
    assert "- torchscript, job: failed: the job ended with exit status 1" in text
    assert len(json.loads((tmp_path / "gpu.json").read_text())["parts"]) == 4
