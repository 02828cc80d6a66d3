"""Packages of the scoring images of this release, by variant, with their versions.

A test compares them with the locks in `inference_container/`. The core image's packages are in
every variant.
"""

import sys
from _compat_pickle import IMPORT_MAPPING  # names of Python 2, which pickles of protocol 2 and lower have

from contract.catalog.image_variants import CORE, ImageVariant

PACKAGES: dict[ImageVariant, dict[str, str]] = {
    "core": {
        "awscrt": "0.38.1",
        "cloudpickle": "3.1.2",
        "flatbuffers": "25.12.19",
        "joblib": "1.6.0",
        "lightgbm": "4.7.0",
        "msgspec": "0.22.0",
        "narwhals": "2.29.0",
        "numpy": "2.4.6",
        "onnxruntime": "1.32.0",
        "packaging": "26.3",
        "pandas": "3.1.1",
        "prettytable": "3.18.0",
        "protobuf": "7.36.2",
        "pyarrow": "26.0.1",
        "python-dateutil": "2.9.0.post0",
        "scikit-learn": "1.9.1",
        "scipy": "1.17.1",
        "six": "1.17.0",
        "skops": "0.16.0",
        "threadpoolctl": "3.8.0",
        "tzdata": "2026.6",
        "wcwidth": "0.9.4",
        "xgboost-cpu": "3.2.0",
    },
    "trees": {
        "catboost": "1.2.10",
        "daal": "2026.2.0",
        "scikit-learn-intelex": "2026.2.0",
        "tbb": "2023.2.0",
        "tcmlib": "1.6.0",
    },
    "tensorflow": {
        "absl-py": "2.5.1",
        "astunparse": "1.6.3",
        "certifi": "2026.10.18",
        "charset-normalizer": "3.5.2",
        "gast": "0.7.0",
        "google-pasta": "0.2.0",
        "grpcio": "1.85.3",
        "h5py": "3.14.0",
        "idna": "3.20",
        "keras": "3.15.1",
        "libclang": "18.1.1",
        "markdown-it-py": "4.3.0",
        "mdurl": "0.1.2",
        "ml-dtypes": "0.6.0",
        "namex": "0.1.0",
        "opt-einsum": "3.4.0",
        "optree": "0.20.0",
        "pygments": "2.21.0",
        "requests": "2.34.2",
        "rich": "15.0.0",
        "setuptools": "84.2.1",
        "tensorflow-cpu": "2.21.0",
        "termcolor": "3.3.0",
        "typing-extensions": "4.16.0",
        "urllib3": "2.8.0",
        "wheel": "0.48.0",
        "wrapt": "2.5.2",
    },
    "pytorch": {
        "filelock": "4.2.12",
        "fsspec": "2026.9.0",
        "jinja2": "3.1.6",
        "markupsafe": "3.0.4",
        "mpmath": "1.3.0",
        "networkx": "3.7",
        "setuptools": "84.2.1",
        "sympy": "1.14.0",
        "torch": "2.13.0",
        "triton": "3.7.1",
        "typing-extensions": "4.16.0",
    },
}
"""NVIDIA's libraries, which no pickle imports, are left out."""


_MODULES = {
    "absl-py": {"absl"},
    "daal": set[str](),
    "google-pasta": {"pasta"},
    "libclang": {"clang"},
    "markdown-it-py": {"markdown_it"},
    "opt-einsum": {"opt_einsum"},
    "protobuf": {"google"},
    "python-dateutil": {"dateutil"},
    "scikit-learn": {"sklearn"},
    "scikit-learn-intelex": {"daal4py", "sklearnex", "onedal"},
    "setuptools": {"setuptools", "pkg_resources"},
    "tensorflow-cpu": {"tensorflow"},
    "torch": {"torch", "functorch", "torchgen"},
    "xgboost-cpu": {"xgboost"},
}
"""Top-level modules of packages that are not named like them."""

_OWN = frozenset({"contract", "scoring"})
"""Fleetscore's code in the image."""

LIBRARIES = {
    "sklearn": "scikit-learn",
    "xgboost": "xgboost-cpu",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "tensorflow": "tensorflow-cpu",
    "pytorch": "torch",
}
"""Package of each framework."""


def library_version(framework: str) -> str:
    """Return the version of a framework's library in the images; empty without a library."""
    package = LIBRARIES.get(framework, "")
    return next((packages[package] for packages in PACKAGES.values() if package in packages), "")


def has_module(variant: ImageVariant, module: str) -> bool:
    """Return whether an image has the top-level package of a module.

    >>> has_module("core", "sklearn.pipeline"), has_module("core", "category_encoders")
    (True, False)
    """
    name = IMPORT_MAPPING.get(module, module).partition(".")[0]
    return name in sys.stdlib_module_names or name in _OWN or name in _modules(variant)


def _modules(variant: ImageVariant) -> frozenset[str]:
    packages = {**PACKAGES[CORE], **PACKAGES[variant]}
    names = (_MODULES.get(package, {package.replace("-", "_")}) for package in packages)
    return frozenset().union(*names)
