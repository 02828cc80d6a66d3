"""Settings of the unit tests. The frameworks' tests run in an environment without Hypothesis."""

from tests.unit import fuzzing  # noqa: F401 - registers the Hypothesis profile of `make fuzz`
