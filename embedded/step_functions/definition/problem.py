"""Problems of a definition, worded as on AWS where that was recorded."""

from dataclasses import dataclass

UNSUPPORTED = "is not supported by the embedded AWS"


@dataclass(frozen=True)
class Problem:
    """A reason to refuse a state machine.

    `location` is a JSON pointer into the definition; empty if the problem has none. The text of all
    is what CreateStateMachine answers: `<code>: <message> at <location>`.
    """

    message: str
    location: str = ""
    code: str = "SCHEMA_VALIDATION_FAILED"

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (f" at {self.location}" if self.location else "")


def unsupported(what: str, location: str, code: str = "UNSUPPORTED") -> Problem:
    """Return the refusal of something that AWS may accept."""
    return Problem(f"{what} {UNSUPPORTED}", location, code)
