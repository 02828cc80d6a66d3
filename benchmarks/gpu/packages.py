"""Wheels that a machine without a network may lack, as small as possible.

`python -m benchmarks.gpu.packages` downloads them, for CPython 3.12 on x86-64 Linux, in the versions
and with the hashes of the container's lock. The check unpacks those whose module is not installed.
"""

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / "build/gpu/wheels"
UNPACKED = ROOT / "build/gpu/packages"
NAMES = ("awscrt", "numpy", "pyarrow", "msgspec")
"""Packages that the container's code imports for a job with a PyTorch model."""
_LOCK = ROOT / "inference_container/requirements.txt"
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_UNUSED = ("/tests/", "/include/", "/src/", "flight", "_s3fs", "libarrow_s3", "_orc", ".pxi", ".pyx")
"""Parts of file names that no job uses; without these files all wheels fit into 64 MiB."""


def use_packages() -> list[str]:
    """Make the missing packages importable in this process. Returns their import paths, for child processes."""
    missing = [name for name in NAMES if importlib.util.find_spec(name) is None]
    wheels = {name: wheel for name in missing for wheel in WHEELS.glob(f"{name}-*.whl")}
    if absent := [name for name in missing if name not in wheels]:
        raise SystemExit(
            f"this Python ({sys.executable}) lacks {', '.join(absent)}: run `make gpu-wheels` on a machine with a "
            f"network, and bring its folder {WHEELS.relative_to(ROOT)} here"
        )
    for name, wheel in wheels.items():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(UNPACKED / name)
    paths = [str(UNPACKED / name) for name in wheels]
    sys.path += paths
    importlib.invalidate_caches()
    return paths


def download() -> None:
    """Download the wheels, and leave out the files that no job uses."""
    WHEELS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lock = folder / "requirements.txt"
        lock.write_text(_locked(), encoding="utf-8")
        options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--python-version", "3.12"]
        platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
        subprocess.run(  # noqa: S603 - pip
            [sys.executable, "-m", "pip", "download", "--quiet", *options, *platforms, "-r", str(lock), "-d", name],
            check=True,
        )
        for old in WHEELS.glob("*.whl"):
            old.unlink()
        for wheel in sorted(folder.glob("*.whl")):
            _shrink(wheel, WHEELS / wheel.name)
    size = sum(wheel.stat().st_size for wheel in WHEELS.glob("*.whl"))
    print(f"{WHEELS.relative_to(ROOT)}: {size / (1 << 20):.0f} MiB")


def _locked() -> str:
    """Return the entries of the packages from the container's lock."""
    kept, lines = False, []
    for line in _LOCK.read_text(encoding="utf-8").splitlines(keepends=True):
        if line[:1].strip():
            kept = line.partition("==")[0] in NAMES
        if kept and not line.lstrip().startswith("#"):
            lines.append(line)
    return "".join(lines)


def _shrink(wheel: Path, target: Path) -> None:
    """Copy a wheel without the unused files."""
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for item in old.infolist():
            if not any(part in f"/{item.filename}" for part in _UNUSED):
                new.writestr(item, old.read(item), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    download()
