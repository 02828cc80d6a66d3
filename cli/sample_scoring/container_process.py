"""The container's code as a process on this machine, with files only, as in a job."""

import importlib.util
import os
import site
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from cli.failures import CommandError
from cli.sandbox.isolation import probe
from cli.sandbox.program import SandboxedProgram
from contract.environment import ML_ROOT

_PACKAGES = ("joblib", "numpy", "pandas", "pyarrow", "sklearn", "xgboost")

_KEPT = frozenset(
    {"PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"}
    | {"CUDA_VISIBLE_DEVICES", "GOTO_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"}
)
"""Environment variables to pass on. Thread settings and locales are passed on by prefix."""
_KEPT_PREFIXES = ("LC_", "OMP_", "OPENBLAS_", "MKL_", "KMP_", "NUMEXPR_", "BLIS_")
_NO_AWS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Keeps AWS clients from the developer's profile and from the credentials of a virtual machine."""


def require_container_code() -> None:
    """Check that the container's packages are installed.

    Raises:
        CommandError: with the names of the missing packages.
    """
    missing = [name for name in ("scoring", *_PACKAGES) if importlib.util.find_spec(name) is None]
    if missing:
        raise CommandError(
            f"This command runs the container's code, but this installation lacks {', '.join(missing)}. "
            "Install the container's packages with `pip install 'fleetscore[scoring]'`."
        )


def isolation_notice() -> str:
    """Return a warning before model code runs on this machine without isolation; else empty."""
    isolation = probe()
    if isolation.hides_files:
        return ""
    return (
        "The model's code runs with your rights: it gets no variables, but it can read your files and use the network, "
        f"because this machine cannot isolate it ({isolation.reason}). Test models that you do not trust in a "
        "container or a virtual machine."
    )


def run_container_code(
    module: str,
    arguments: Sequence[str] = (),
    *,
    root: Path,
    readable: Sequence[Path] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> "subprocess.CompletedProcess[str]":
    """Run a module of the container's code with `root` as /opt/ml; return the ended process.

    The model's code must not see the developer's credentials, as a job has none. The process gets
    only the variables that libraries need. Where the machine permits it, it sees only `root`,
    `readable`, and the interpreter and its libraries, and has no network.

    Args:
        readable: Files that the code reads through links in `root`.
        variables: Variables for libraries, which the developer's own ones override.
    """
    require_container_code()
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="fleetscore-home-") as folder:
        own = Path(folder)
        places = {"HOME": own / "home", "TMPDIR": own / "tmp"}
        for place in places.values():
            place.mkdir(mode=0o700)
        places["TMPDIR"].chmod(0o1777)
        program = SandboxedProgram(
            argv=[sys.executable, "-m", module, *arguments],
            environment={
                **variables,
                **_library_variables(),
                **{name: str(place) for name, place in places.items()},
                **_NO_AWS,
                "PYTHONUNBUFFERED": "1",  # as in the image: a worker ends without flushing what the model printed
                ML_ROOT: str(root),
                "PYTHONPATH": os.pathsep.join(dict.fromkeys(str(path.parent) for path in programs)),
            },
            folder=str(root),
            readable=[
                *programs,
                *readable,
                *map(Path, filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))),
                *([Path(site.getusersitepackages())] if site.ENABLE_USER_SITE else []),
            ],
            writable=[
                (root, str(root)),
                *((place, str(place)) for place in places.values()),
                *((places["TMPDIR"], shared) for shared in ("/tmp", "/var/tmp")),  # noqa: S108
            ],
            own_network=True,
        )
        ended = program.run(probe().kind)
    output, errors = (text.decode(errors="replace") for text in (ended.stdout, ended.stderr))
    return subprocess.CompletedProcess(program.argv, ended.returncode, output, errors)


def _library_variables() -> dict[str, str]:
    """Return the variables that Python and the libraries read. All others may hold secrets."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    if site.ENABLE_USER_SITE:  # the process has another HOME
        kept["PYTHONUSERBASE"] = site.getuserbase()
    return kept


def _programs() -> list[Path]:
    """Return the folders of the packages `scoring` and `contract`, without importing `scoring`."""
    specs = [importlib.util.find_spec(name) for name in ("scoring", "contract")]
    return [Path(spec.origin).resolve().parent for spec in specs if spec is not None and spec.origin is not None]
