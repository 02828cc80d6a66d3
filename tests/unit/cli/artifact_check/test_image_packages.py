import re
from pathlib import Path

from cli.artifact_check.image_packages import LIBRARIES, PACKAGES, has_module, library_version
from contract.catalog.framework_versions import LIBRARY_NAMES

IMAGE = Path(__file__).parents[4] / "inference_container"
_LOCKS = {"core": "", "trees": "-trees", "tensorflow": "-tensorflow", "pytorch": "-pytorch"}


def test_the_packages_are_those_of_the_locks() -> None:
    """After `make lock`, correct PACKAGES in cli/artifact_check/image_packages.py."""
    for variant, packages in PACKAGES.items():
        lock = (IMAGE / f"requirements{_LOCKS[variant]}.txt").read_text()
        locked = dict(re.findall(r"^([\w.-]+)==([^ \\]+)", lock, re.MULTILINE))
        locked = {name: version for name, version in locked.items() if not name.startswith(("nvidia-", "cuda-"))}
        if variant != "core":
            locked = {name: version for name, version in locked.items() if PACKAGES["core"].get(name) != version}
        assert packages == locked, variant


def test_every_library_has_a_version() -> None:
    assert set(LIBRARIES) == set(LIBRARY_NAMES)
    assert all(map(library_version, LIBRARIES))


def test_modules_of_the_standard_library_and_of_python_2_are_in_every_image() -> None:
    for module in ("collections", "copy_reg", "__builtin__", "numpy.core.multiarray", "sklearn.tree._tree"):
        assert has_module("core", module), module
    assert has_module("trees", "catboost.core")
    assert not has_module("core", "catboost.core")
