"""The app's templates, whose policies the tests evaluate."""

from tests.unit.infra.conftest import assembly, prod, synthesize  # noqa: F401 - fixtures
