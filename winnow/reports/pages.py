"""Render self-contained pages from the templates in this folder; everything inserted is escaped."""

import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

MARKS = re.compile(r"[\\`*\[\]|~<>&\"$@]|(?<![^\W_])_|_(?![^\W_])|(?<=:)//|(?<=www)\.", re.IGNORECASE)


def render(template: str, content: dict[str, Any]) -> str:
    """Fill a template; a name that it needs and `content` lacks is an error."""
    loader = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        keep_trailing_newline=True,
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    environment.filters["plain"] = plain
    environment.filters["percent"] = lambda share, digits=1: f"{100 * share:.{digits}f}%"
    return environment.get_template(template).render(content)


def plain(text: object) -> Markup:
    """Text as Markdown that shows it as it is, in one line: no link, picture, HTML, cell or formula begins in it."""
    line = " ".join(str(text).split())
    return Markup(MARKS.sub(lambda mark: "".join(f"&#{ord(c)};" for c in mark[0]), line))  # noqa: S704
