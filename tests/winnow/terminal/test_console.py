"""Colours are ours alone: what stands in a text or table is cleaned, and its markup is text."""

import io

import pytest
from rich.table import Table

from winnow.terminal.console import Console, plain

HOSTILE = "[red]x[/red] [/] \x1b[2J:smile:\nrelease is whole"


@pytest.mark.parametrize("colours", [False, True])
def test_text_from_elsewhere_is_shown_as_it_is_but_for_what_a_terminal_obeys(
    monkeypatch: pytest.MonkeyPatch, colours: bool
) -> None:
    console = Console()
    console.file = io.StringIO()
    console._force_terminal = colours  # type: ignore[attr-defined]
    table = Table("a", box=None, pad_edge=False)
    table.add_row(plain(HOSTILE))
    console.print(f"[bold]ours[/bold] {plain(HOSTILE)}")
    console.print(table)
    said = console.file.getvalue()
    assert said.count(r"[red]x[/red] [/] \x1b[2J:smile:\nrelease is whole") == 2
    assert "\x1b[2J" not in said
    assert ("\x1b[1m" in said) == (colours and console.color_system is not None)


def test_a_secret_in_a_table_is_blotted_out() -> None:
    console = Console()
    console.file = io.StringIO()
    console.print("http://me:hunter2@host/")
    assert console.file.getvalue() == "http://***@host/\n"
