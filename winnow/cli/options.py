"""Options that several commands share, and how a command prints its result."""

import json
from typing import Annotated, Any

import typer

from winnow.terminal.say import say

HELP = {"help_option_names": ["-h", "--help"]}

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors, and what --json asks for.")]


def option(argument: str) -> str:
    """The option that gives an argument of the library, for messages."""
    return f"--{argument.replace('_', '-')}"


def tell(words: str, found: dict[str, Any], as_json: bool, quiet: bool) -> None:
    """Print what a command did: as one JSON object, in words, or not at all."""
    if as_json:
        say(json.dumps(found, indent=2))
    elif not quiet:
        say(words)
