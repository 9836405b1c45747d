"""The documentation: a how-to for each row of the table, a site that loads nothing from afar, a true tutorial."""

import functools
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest
from playwright.sync_api import Page, sync_playwright
from support import ROOT

from winnow.run.settings import Settings

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome: apt-get install chromium")
LOADED = re.compile(r"""<(?:script|img|iframe|source)[^>]*\bsrc="([^"]+)"|<link[^>]*\bhref="([^"]+)"[^>]*>""")


def module(name: str) -> ModuleType:
    """A program of .ci."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f".ci/{name}.py")
    assert spec
    assert spec.loader
    made = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def rows() -> list[str]:
    """What you may want to do, from the first table of the how-to pages: the words of each row, and where it leads."""
    table = (ROOT / "docs/howto/index.md").read_text().partition("| I want to | I use |\n|---|---|\n")[2]
    return [line.split(" | ")[0].strip("| ") for line in table.strip().splitlines()]


@pytest.mark.parametrize("row", rows())
def test_each_row_of_the_how_to_table_leads_to_a_section(row: str) -> None:
    link = re.fullmatch(r"\[(.+)\]\((\w+\.md)#[\w-]+\)", row)
    assert link, "mkdocs --strict checks where it leads"
    text = (ROOT / "docs/howto" / link[2]).read_text()
    sections = {title.lower(): words for title, _, words in (part.partition("\n") for part in text.split("\n## ")[1:])}
    assert link[1].lower() in sections
    assert re.search(r"^    \S|```|`", sections[link[1].lower()], re.M), "it says what to type"


def test_each_section_of_the_how_to_pages_is_in_the_table() -> None:
    pages = [path for path in (ROOT / "docs/howto").glob("*.md") if path.name != "index.md"]
    sections = [title.lower() for path in pages for title in re.findall(r"^## (.*)$", path.read_text(), re.MULTILINE)]
    assert sorted(sections) == sorted(row[1:].partition("](")[0].lower() for row in rows())


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loaded = [a or b for a, b in LOADED.findall(page.read_text())]
        assert len(loaded) > 3
        assert [place for place in loaded if "//" in place] == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", style.read_text()), style


def test_the_reference_has_every_parameter_and_command(site: Path) -> None:
    parameters = (site / "reference/parameters.html").read_text()
    for name, field in Settings.model_fields.items():
        assert f'id="{name}"' in parameters
        for key in field.annotation.model_fields:  # type: ignore[union-attr]
            assert f"<code>{key}</code>" in parameters
    assert "<code>winnow</code> or <code>paper</code>" in parameters
    assert "float</code>, &gt; 0, ≤ 1" in parameters
    commands = (site / "reference/commands.html").read_text()
    for words in ("winnow select", "winnow doctor", "winnow release publish", "--drop-near-duplicates"):
        assert words in commands
    for page, name in (
        ("features", "selection.select.select"),
        ("images", "sources.open_source"),
        ("releases", "tracking.log"),
    ):
        assert f'id="winnow.{name}"' in (site / f"reference/functions/{page}.html").read_text()


@pytest.fixture
def page(site: Path) -> Iterator[Page]:
    """Open the site as a server gives it, with no other network."""
    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        Thread(target=server.serve_forever, daemon=True).start()
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        context = opened.new_context(base_url=f"http://127.0.0.1:{server.server_port}/")
        tab, complaints = context.new_page(), list[str]()
        tab.on("request", lambda request: complaints.append(request.url) if "127.0.0.1" not in request.url else None)
        tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        yield tab
        assert complaints == []
        opened.close()
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that says nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@needs_browser
def test_pages_fit_a_phone_and_are_found_by_search(page: Page, site: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for path in site.rglob("*.html"):
        if path.name != "404.html":
            page.goto(path.relative_to(site).as_posix())
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto("index.html")
    page.get_by_placeholder("Search").press_sequentially("quarantine")  # the page waits for keys
    page.locator(".md-search-result__link").first.wait_for()
    assert "quarantine" in page.locator(".md-search-result__list").inner_text()


@needs_browser
@pytest.mark.parametrize("start", ["index.html", "howto/index.html"])
def test_search_works_in_a_page_opened_from_a_folder(site: Path, start: str) -> None:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        tab, asked = opened.new_page(), list[str]()
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto((site / start).as_uri())
        tab.get_by_placeholder("Search").press_sequentially("quarantine")
        tab.locator(".md-search-result__link").first.wait_for()
        assert "quarantine" in tab.locator(".md-search-result__list").inner_text().lower()
        assert {url.partition(":")[0] for url in asked} == {"file"}
        opened.close()


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_drawing_stays_in_its_boxes_and_can_be_read(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto("architecture.html")
    assert page.locator(".drawing svg").get_attribute("aria-labelledby")
    assert page.evaluate(OUTSIDE) == []
    text, ground = page.evaluate("""() => [getComputedStyle(document.querySelector('.arch-text')).fill,
        getComputedStyle(document.body).backgroundColor]""")
    light = [sum(map(float, re.findall(r"[\d.]+", colour)[:3])) for colour in (text, ground)]
    assert abs(light[0] - light[1]) > 350, (text, ground)


OUTSIDE = """() => {
    const box = e => e.getBoundingClientRect()
    const boxes = [...document.querySelectorAll('.arch-box')].map(box)
    return [...document.querySelectorAll('.drawing text')].filter(t => !['one way', 'runs, one process each']
        .includes(t.textContent)).filter(t => !boxes.some(b => box(t).left >= b.left && box(t).right <= b.right
        && box(t).top >= b.top - 1 && box(t).bottom <= b.bottom + 1)).map(t => t.textContent)
}"""


def test_what_the_tutorial_says_is_compared_but_for_numbers() -> None:
    tutorial = module("tutorial")
    first, second = tutorial.read(
        "```sh\nmake\n```\nand\n```text\nkept 1,200 of 4,000\n...\ndone\n```\n```sh\nls\n```\n"
    )
    assert (first.commands, first.printed, second.printed) == ("make\n", ["kept 1,200 of 4,000", "done"], [])
    assert tutorial.missing(first.printed, "x\n  kept 7 of  9\nmore\ndone") == []
    assert tutorial.missing(first.printed, "done\nkept 7 of 9") == ["done"], "in order"
    assert tutorial.missing(first.printed, "dropped 7 of 9\ndone") == ["kept 1,200 of 4,000"]
    page = tutorial.read((ROOT / "docs/tutorial.md").read_text())
    assert len(page) >= 5
    assert sum(len(step.printed) for step in page) > 10
