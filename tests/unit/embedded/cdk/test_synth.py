import json
from pathlib import Path

import pytest

from embedded.cdk.synth import SynthesisError, synthesize
from embedded.server.endpoint import Endpoint

# Writes its input as the manifest. The end-to-end tests cover aws_cdk.
APP = """
import json, os, pathlib, sys
out = pathlib.Path(os.environ["CDK_OUTDIR"])
out.mkdir(parents=True)
context = json.loads(os.environ["CDK_CONTEXT_JSON"])
if "fail" in context:
    sys.exit("the app says why")
account = os.environ.get("CDK_DEFAULT_ACCOUNT")
(out / "manifest.json").write_text(json.dumps({"context": context, "account": account, "cwd": os.getcwd()}))
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "cdk.json").write_text(json.dumps({"context": {"a": 1, "b": 1}}))
    (tmp_path / "app.py").write_text(APP)
    return tmp_path / "app.py"


def test_the_app_gets_the_context_of_cdk_json_with_overrides(app: Path, tmp_path: Path) -> None:
    endpoint = Endpoint("https://localhost:1", tmp_path, "us-east-1", "123456789012", "a", "s")
    output = synthesize(app, tmp_path / "out", {"b": 2}, endpoint=endpoint)

    seen = json.loads((output / "manifest.json").read_text())
    assert seen == {"context": {"a": 1, "b": 2}, "account": "123456789012", "cwd": str(tmp_path)}


def test_a_failure_shows_the_apps_output(app: Path, tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match=r"app\.py did not synthesize \(exit status 1\):\nthe app says why"):
        synthesize(app, tmp_path / "out", {"fail": True})


@pytest.mark.parametrize("content", ["{", "[]", '{"context": 1}', b"\xff"])
def test_a_broken_cdk_json_is_named(app: Path, tmp_path: Path, content: str | bytes) -> None:
    (tmp_path / "cdk.json").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SynthesisError, match=r"cdk\.json .*Correct the file\."):
        synthesize(app, tmp_path / "out")


def test_a_traceback_of_the_app_is_only_in_the_note(app: Path, tmp_path: Path) -> None:
    app.write_text("print('before', flush=True)\nraise KeyError('stage')\n")
    with pytest.raises(SynthesisError) as error:
        synthesize(app, tmp_path / "out")
    assert str(error.value).endswith("KeyError: 'stage'")
    assert "Traceback" not in str(error.value)
    assert any("Traceback" in note for note in error.value.__notes__)
