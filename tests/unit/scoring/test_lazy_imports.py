"""Libraries whose import is postponed work as if it were not."""

import subprocess
import sys

from tests.unit.warm_process import REPOSITORY


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
