"""What an artifact itself says that it was trained on: `python -m scoring.trained_on FORMAT FILE ANSWER`.

For `fleetscore models register --infer-schema`. A process of its own, because loading an artifact runs its code.
"""

import json
import sys
from pathlib import Path
from typing import Any

from contract.spec import FRAMEWORK_OF_FORMAT, ModelFormat
from scoring.errors import one_line


def trained_on(declared: ModelFormat, path: Path) -> dict[str, Any]:
    """`names` of the features in their order and their `count`; None for what the artifact does not know."""
    if FRAMEWORK_OF_FORMAT[declared] in ("tensorflow", "pytorch"):
        # Most take one matrix and know no names, and their libraries need not be installed here.
        names = count = None
    elif FRAMEWORK_OF_FORMAT[declared] == "sklearn":
        import joblib  # noqa: PLC0415 - only the one library that the artifact needs

        estimator = joblib.load(path)
        names = getattr(estimator, "feature_names_in_", None)
        count = getattr(estimator, "n_features_in_", None)
    else:
        from scoring.models.xgboost_library import xgboost  # noqa: PLC0415

        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(path.read_bytes()))
        names, count = booster.feature_names, booster.num_features()
    return {
        "names": None if names is None else [str(name) for name in names],
        "count": None if count is None else int(count),
    }


def main(declared: ModelFormat, path: Path, answer: Path) -> int:
    try:
        found = trained_on(declared, path)
    # Unpickling runs code of the model, which may even call sys.exit.
    except BaseException as error:
        found = {"error": one_line(error)}
    # To a file: what the model's code prints must not pass for the answer.
    answer.write_text(json.dumps(found), encoding="utf-8")
    return 1 if "error" in found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))  # type: ignore[arg-type]
