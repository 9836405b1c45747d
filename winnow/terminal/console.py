"""Print tables and colours on the terminal, with text cleaned as in `terminal.say`."""

from typing import Any

from rich.console import Console as RichConsole  # noqa: TID251 the only one
from rich.markup import escape
from rich.text import Text

from winnow.terminal.say import clean, one_line


class Console(RichConsole):
    """A console for text with markup: text and the cells of tables are cleaned, colours stay."""

    def __init__(self, *, soft_wrap: bool = True, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(highlight=False, emoji=False, soft_wrap=soft_wrap, stderr=stderr, quiet=quiet)

    def render_str(self, text: str, **options: Any) -> Text:
        """Render text that may hold markup."""
        return super().render_str(clean(text), **options)


def plain(value: object) -> str:
    """A name or value from elsewhere, as one line in which nothing is markup."""
    return escape(one_line(value))
