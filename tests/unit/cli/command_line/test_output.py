"""Tables for people: whole lines in a pipe, without spaces at their end."""

import pytest

from cli.command_line.output import Output
from cli.views.tables import add_row, plain_table


def test_lines_of_a_table_in_a_pipe_have_no_spaces_at_their_end(capsys: pytest.CaptureFixture[str]) -> None:
    table = plain_table("dataset", "to score")
    add_row(table, "flights-2026-01-01", "")
    add_row(table, "flights-2026-01-02", "refused: " + "x" * 300)
    Output().data({}, table, "1 dataset.")
    first, second, third, last = capsys.readouterr().out.splitlines()
    assert (first, second) == ("dataset             to score", "flights-2026-01-01")
    assert third.endswith("x" * 300)
    assert last == "1 dataset."
