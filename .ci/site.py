"""Hooks of MkDocs: pages made from README.md and its neighbours, and a reference made from the code."""

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

from winnow.cli import main
from winnow.run.settings import Settings

STAGES = [
    "images.prepare",
    "encoders.embed",
    "selection.adapt",
    "selection.score",
    "selection.optimize",
    "training.evaluate",
    "releases.assemble",
]
MODULES = {  # what others call: a page for each thing that it is about
    "features": ["selection.select", "features"],
    "stages": STAGES,
    "images": ["sources", "sources.base", "images.dataset", "encoders.encoder"],
    "selection": [
        "budget",
        "selection.alignment",
        "selection.coverage",
        "selection.near_duplicates",
        "selection.published",
    ],
    "checking": [f"checking.{name}" for name in ("sampling", "bounds", "calibration", "results")],
    "releases": [f"releases.{name}" for name in ("manifest", "verify", "diff", "gate", "export")] + ["tracking"],
}
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
PARAMETERS = """# Parameters

What `params.yaml` may hold. An unknown key, a wrong type or a value out of range is refused with the key's name before
any work starts. Defaults are those of the code; the file in the repository is set for the sample.
"""
FUNCTIONS = """# Functions: {}

Plain functions on arrays, tables and paths, which know nothing of Prefect or DVC.
"""
LINK = re.compile(r"\]\((?:\.\./)?README\.md(#[\w-]+)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {
        **{page: front(Path(file).read_text(encoding="utf-8")) for file, page in PAGES.items()},
        "reference/parameters.md": parameters(),
        "reference/commands.md": commands(),
    } | {f"reference/functions/{title}.md": functions(title) for title in MODULES}
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to the README are links to the front page; the drawing goes into its page, to have the page's colours."""
    up = "../" * page.file.src_uri.count("/")
    markdown = LINK.sub(lambda link: f"]({up}index.md{link[1] or ''})", markdown)
    return re.sub(r"^--8<-- (\S+)$", lambda name: drawing(Path("docs") / name[1]), markdown, flags=re.MULTILINE)


def drawing(path: Path) -> str:
    """An SVG as a block of HTML."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return f'<div class="drawing">{"".join(line.strip() + " " for line in lines)}</div>'


def front(readme: str) -> str:
    """A file beside docs/ as a page: its links into docs/, and to other such files, are links to pages."""
    text = re.sub(r"\[docs/(\w+)\.md\]\(docs/(\w+)\.md\)", r"[\1](\2.md)", readme)
    text = re.sub(r"\]\(docs/", "](", text)
    for file, page in (PAGES | {"SECURITY.md": "security.md"}).items():
        text = text.replace(f"]({file})", f"]({page})")
    return re.sub(r"<!-- site: (.*?) -->", r"\1", text)


def parameters() -> str:
    """Every key of params.yaml: type, bounds, default, and what the file says of it."""
    said = comments(Path("params.yaml"))
    lines = [PARAMETERS]
    for name, field in Settings.model_fields.items():
        block = field.annotation
        assert isinstance(block, type)
        assert issubclass(block, BaseModel)
        lines += [f"## {name}", "", block.__doc__ or "", "", "| key | type | default | |", "|---|---|---|---|"]
        lines += [row(key, about, said.get(f"{name}.{key}", "")) for key, about in block.model_fields.items()]
        lines.append("")
    return "\n".join(lines)


def row(key: str, field: FieldInfo, said: str) -> str:
    """A parameter in a table."""
    cells = [f"`{key}`", kind(field), f"`{field.default!r}`", said]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def kind(field: FieldInfo) -> str:
    """The type of a parameter and its bounds, in words."""
    hint: Any = field.annotation
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    words = " or ".join(f"`{choice}`" for choice in choices) or f"`{getattr(hint, '__name__', hint)}`".replace(
        " | ", "` or `"
    )
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{sign} {value}"
        for rule in field.metadata
        for name, sign in signs.items()
        if (value := getattr(rule, name, None)) is not None
    ]
    return ", ".join([words, *bounds])


def comments(path: Path) -> dict[str, str]:
    """What a file of parameters says of each key, at the end of its line."""
    found: dict[str, str] = {}
    for block, values in YAML().load(path).items():
        for key in values or ():
            about = values.ca.items.get(key)
            token = about[2] if about else None
            if token and (text := token.value.split("\n")[0].strip("# ")):
                found[f"{block}.{key}"] = text
    return found


def commands() -> str:
    """What `winnow --help` and the help of each command say."""
    lines = ["# Commands", "", "`winnow COMMAND --help` says the same.", ""]
    for words, command in walk(typer.main.get_command(main.app), "winnow"):
        lines += [f"## {words}", "", command.help or "", ""]
        rows = [option(each) for each in command.params if each.name != "help"]
        lines += ["| argument or option | |", "|---|---|", *rows, ""] if rows else []
    return "\n".join(lines)


def walk(command: Any, words: str) -> list[tuple[str, Any]]:
    """Every command below a group of typer's, by its words."""
    below = getattr(command, "commands", None)
    if below is None:
        return [(words, command)]
    return [pair for name, each in below.items() for pair in walk(each, f"{words} {name}")]


def option(parameter: Any) -> str:
    """An option or argument in a table."""
    argument = parameter.param_type_name == "argument"
    name = (parameter.metavar or parameter.name.upper()) if argument else ", ".join(parameter.opts)
    about, default = parameter.help or "", parameter.default
    shown = getattr(default, "value", default)
    tail = f" Default: `{shown}`." if shown not in (None, False, "") and "default" not in about else ""
    return f"| `{name}` | {about}{tail} |".replace("\n", " ")


def functions(title: str) -> str:
    """The public functions and classes of some modules, from their docstrings."""
    return "\n".join([FUNCTIONS.format(title), *(f"\n::: winnow.{module}\n" for module in MODULES[title])])
