"""Jobs import no library that they do not use, and libraries whose import is postponed work as if it were not."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import xgboost

from contract.catalog.model_fields import Feature
from tests.unit.scoring.support.job_folder import JobFolder
from tests.unit.warm_process import REPOSITORY


def test_small_job_imports_no_library_that_it_does_not_use(job: JobFolder) -> None:
    """Imports take most of its processor time, which no other test would notice."""
    rows = np.random.default_rng(1).random((20, 2))
    names = ["spend", "age"]
    model = xgboost.train({}, xgboost.DMatrix(rows, label=rows[:, 0], feature_names=names), 2)
    features = [Feature(name, "double") for name in names]
    job.add_model("small", model.save_model, file="model.ubj", declared="xgboost-ubj", features=features)
    job.add_object("a.parquet", pa.table({"spend": rows[:, 0], "age": rows[:, 1]}))
    job.write_spec()

    ended = job.run(PYTHONPROFILEIMPORTTIME="1")

    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert {"scoring.job.job", "pyarrow.parquet", "xgboost.core"} <= imported
    slow = {"awscrt", "numpy.f2py", "numpy.testing", "pandas", "pyarrow.compute", "scipy.sparse", "sklearn.base"}
    assert sorted(imported & {*slow, "contract.catalog.models", "statistics"}) == []


def test_postponed_modules_are_the_real_ones_afterwards() -> None:
    code = """
import sys
from scoring.models.trees.xgboost_library import xgboost
postponed = ("numpy.f2py", "numpy.testing", "scipy.sparse", "scipy.special")
print([name for name in postponed if name in sys.modules])
import numpy as np
rows = np.random.default_rng(0).random((50, 3))
labels = (rows[:, 0] * 3).astype(int)
model = xgboost.train({"objective": "multi:softprob", "num_class": 3}, xgboost.DMatrix(rows, label=labels), 2)
import scipy.sparse.linalg
from scipy.sparse import csr_matrix
print(scipy.sparse.csr_matrix is csr_matrix, xgboost.compat.scipy_sparse.csr_matrix is csr_matrix)
sparse = csr_matrix(rows)
print(np.array_equal(model.inplace_predict(sparse), model.inplace_predict(rows)))
print(np.array_equal(model.predict(xgboost.DMatrix(sparse)), model.inplace_predict(rows)))
print(xgboost.sklearn.softmax(np.zeros((1, 2)), axis=1).tolist())
from scoring.models.scikit_learn import library
from sklearn.utils.validation import check_array
print(check_array(sparse, accept_sparse=True) is sparse)
np.testing.assert_allclose([1.0], [1.0])
import numpy.f2py.crackfortran
"""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{REPOSITORY / 'inference_container'}:{REPOSITORY}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["[]", "True True", "True", "True", "[[0.5, 0.5]]", "True"]
