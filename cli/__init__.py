"""The `fleetscore` command. It calls AWS through boto3 only, so it works the same on the embedded AWS."""

import sys

# botocore imports awscrt where it is installed, as it is for the container's checksums. The command does not need it,
# and would take a fifth longer to start.
if "awscrt" not in sys.modules:
    sys.modules["awscrt"] = None  # type: ignore[assignment] - imports fail as if it were not installed
    import botocore.compat
    import botocore.httpchecksum  # noqa: F401

    del sys.modules["awscrt"]
