"""The app's templates, synthesized as for the tests of `infra`: their policies are
evaluated here.
"""

from tests.unit.infra.conftest import assembly, prod, synthesize  # noqa: F401 - fixtures
