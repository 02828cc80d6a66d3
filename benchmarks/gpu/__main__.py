"""Checks scoring on a GPU: `make gpu-check`.

For each format whose library is installed, through the container's own code:

- predictions on the GPU agree with those on the CPU, and rows per second of both;
- a batch that does not fit into the GPU's memory is halved until it does;
- a whole job, `python -m scoring`, uses the GPU and scores each row once;
- two workers share the GPU, with too little memory for both.

Without a GPU the same parts run on the CPU, and the output says so. The exit status is 1 if a part
failed or there was no time for it. Needs Python 3.11 or newer, Linux, NumPy and PyArrow; see `packages`.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu.packages import ROOT, use_packages

_MINUTES = 7.5


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build/gpu", help="folder of gpu.json and gpu.md")
    parser.add_argument("--only", nargs="*", help="formats, such as torchscript")
    parser.add_argument("--minutes", type=float, default=_MINUTES, help=f"limit for everything (default: {_MINUTES})")
    options = parser.parse_args()
    deadline = time.monotonic() + options.minutes * 60
    code = [str(ROOT), str(ROOT / "inference_container")]
    paths = [*code, *use_packages()]
    sys.path += code
    # Imported once NumPy and PyArrow can be.
    from benchmarks.gpu.checks import FormatCheck, Machine, sizes_for  # noqa: PLC0415
    from benchmarks.gpu.memory import device_count  # noqa: PLC0415
    from benchmarks.gpu.models import FORMATS  # noqa: PLC0415
    from benchmarks.gpu.results import Part, Results  # noqa: PLC0415
    from scoring.device import FULL_PRECISION, find_device  # noqa: PLC0415

    devices = device_count()
    found = find_device()
    results = Results({**_machine(), "devices": devices, "container_finds": found})
    shown = f"{devices} GPU(s), {results.machine['gpu']}" if devices else "NO GPU: everything ran on the CPU"
    results.machine["summary"] = f"{shown}; {os.cpu_count()} CPU cores, Python {platform.python_version()}"
    print(results.machine["summary"], flush=True)
    if (devices > 0) != (found == "cuda"):
        results.add(
            Part("all", "devices", "failed", f"the driver shows {devices} GPU(s), and the container finds {found}")
        )
    folder = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    # Workers run as another user, who must reach their files.
    folder.chmod(0o755)
    environment = {**os.environ, **FULL_PRECISION, "PYTHONPATH": os.pathsep.join(paths)}
    machine = Machine(folder, environment, devices if found == "cuda" else 0, deadline, sizes_for(gpu=devices > 0))
    try:
        for name in options.only or FORMATS:
            FormatCheck(FORMATS[name], machine, results).run()
            results.write(options.out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if devices and not any(results.of(name, "predictions").get("device") == "gpu" for name in FORMATS):
        results.add(Part("all", "devices", "failed", "no library of this Python has used the GPU"))
        results.write(options.out)
    print(f"\n{results.markdown()}\nWritten to {options.out}/gpu.json and gpu.md")
    return int(results.failed)


def _machine() -> dict[str, object]:
    """Return what the report says about the machine."""
    gpu = ""
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        gpu = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    nodes = sorted(Path("/dev").glob("nvidia*"))
    modes = {path.name: f"{path.stat().st_mode & 0o777:o}" for path in nodes if not path.is_dir()}
    return {"gpu": "; ".join(gpu.splitlines()), "device_modes": modes, "python": platform.python_version()}


if __name__ == "__main__":
    sys.exit(main())
