"""The exit message of a failed instance, which the workflow reads and people see first.

SageMaker joins the messages of all instances and keeps the first 1,024 bytes. A message that is not
valid UTF-8 fails the job with another error. So each instance writes at most its share of the bytes
and cuts between characters.
"""

from contract.container_paths import ContainerPaths
from contract.control_characters import replace_control_characters
from contract.status import FailureKind
from scoring.errors import log_error
from scoring.files.new_file import new_file
from scoring.job.resource_config import count_hosts

_MAX_BYTES_OF_ALL_HOSTS = 1_024
_ELLIPSIS = "…"


def compose(kind: FailureKind, text: str, hosts: int) -> str:
    """Return `KIND: text`, cut to this instance's share of the bytes; the kind is never cut."""
    line = replace_control_characters(f"{kind.value}: {' '.join(text.split())}")
    # One byte per share is reserved for the separator between messages.
    share = _MAX_BYTES_OF_ALL_HOSTS // hosts - 1
    if len(line.encode()) <= share:
        return line
    room = max(share - len(_ELLIPSIS.encode()), len(kind.value) + 1)
    cut = line.encode()[:room].decode("utf-8", "ignore").rstrip()
    return cut + _ELLIPSIS if room + len(_ELLIPSIS.encode()) <= share else cut


def write(paths: ContainerPaths, kind: FailureKind, text: str) -> None:
    """Write the message; an error, such as of a full disk, is only logged."""
    hosts = count_hosts(paths.resource_config)
    # SageMaker adds no separator. Without one, a text that ends in capital letters hides the kind that follows.
    message = compose(kind, text, hosts) + (" " if hosts > 1 else "")
    try:
        with new_file(paths.exit_message) as file:
            file.write(message.encode())
    except OSError as error:
        log_error(error)
