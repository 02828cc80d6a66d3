"""Import of botocore without awscrt, which makes the command start a fifth faster.

botocore imports awscrt when it is installed, as it is for the container's checksums. The command
does not need it.
"""

import sys
from typing import Any

if "awscrt" not in sys.modules:
    modules: dict[str, Any] = sys.modules
    # An import of a module that is None fails as if it were not installed.
    modules["awscrt"] = None
    import botocore.compat
    import botocore.httpchecksum  # noqa: F401

    del modules["awscrt"]
