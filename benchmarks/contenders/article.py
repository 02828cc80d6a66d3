"""The loop of a published article: a process pool with one task per file.

Each task loads the model again. Two changes make the published code run: `joblib` is imported, and
`predict` gets the model's features instead of every column of the file. Library threads are not
limited.
"""

import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import cpu_count
from pathlib import Path

import joblib
import pandas as pd

from benchmarks.comparison.measure import mark_ready
from benchmarks.contenders import arguments, features_of, model_folders, objects_of


def read_object(path: Path) -> pd.DataFrame:
    """Read an object with pandas. The article reads Parquet only."""
    if path.suffix == ".csv":
        return pd.read_csv(path)
    if path.suffix == ".jsonl":
        return pd.read_json(path, lines=True)
    return pd.read_parquet(path)


def inference_fn(model_dir: str, file_path: str, output_dir: str, features: list[str]) -> str:
    model = joblib.load(f"{model_dir}/model.joblib")
    data = read_object(Path(file_path))
    data["prediction"] = model.predict(data[features])
    output_path = f"{output_dir}/{os.path.splitext(os.path.basename(file_path))[0]}.parquet"  # noqa: PTH119, PTH122
    data.to_parquet(output_path)
    return output_path


def main() -> None:
    root, output = arguments()
    features = features_of(root)
    mark_ready()
    for folder in model_folders(root):
        target = output / folder.name
        target.mkdir(parents=True)
        with ProcessPoolExecutor(max_workers=cpu_count()) as executor:
            futures = [
                executor.submit(inference_fn, str(folder), path, str(target), features) for path in objects_of(root)
            ]
            results = []
            for future in as_completed(futures):
                results.append(future.result())  # noqa: PERF401 - the article's code


if __name__ == "__main__":
    main()
