"""Every question names contenders that exist, and skips Spark without Java."""

import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import contenders, questions
from benchmarks.comparison.question import Size
from benchmarks.questions import with_spark

QUESTIONS = [module.name for module in pkgutil.iter_modules(questions.__path__)]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("question", QUESTIONS)
def test_every_case_has_its_own_name_and_existing_contenders(question: str, full: bool) -> None:
    cases = import_module(f"benchmarks.questions.{question}").cases(Size(full=full, repetitions=1))
    names = [case.workload.name for case in cases]
    assert len(set(names)) == len(names) > 0
    programs = {name for case in cases for name in case.contenders}
    folder = Path(contenders.__path__[0])
    assert [name for name in programs if not folder.joinpath(*name.split(".")).with_suffix(".py").is_file()] == []


@pytest.mark.parametrize("question", QUESTIONS)
def test_make_runs_every_question(question: str) -> None:
    makefile = (Path(contenders.__path__[0]).parents[1] / "Makefile").read_text(encoding="utf-8")
    assert question in makefile.partition("QUESTIONS := ")[2].partition("\n")[0].split()


def test_spark_is_skipped_with_a_message_without_java(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert with_spark(["article"], "spark") == ["article"]
    assert "no Java" in capsys.readouterr().err
    (tmp_path / "java").touch(0o755)
    assert with_spark(["article"], "spark") == ["article", "spark"]
