"""What a training job says while it runs: one JSON object a line, for the log."""

import json
import sys


def event(name: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": name, **fields}, ensure_ascii=False) + "\n")
    sys.stdout.flush()
