"""The report is one page for anyone: no network, nothing that enters it runs, and its clicks become corrections."""

import html
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markdown import Markdown
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from support import PARAMETERS
from typer.testing import CliRunner

from winnow import corrections
from winnow.cli.main import app
from winnow.files.json_files import read_json, write_json
from winnow.images import dataset
from winnow.releases import assemble
from winnow.reports import galleries, pages, report
from winnow.selection import explain
from winnow.selection.reasons import SUSPECTED

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome: apt-get install chromium")

EVIL = "<img src=x onerror=alert(1)>\"'"


def table(stages: Path) -> pd.DataFrame:
    """The pool, with samples of every reason: 3 suspected labels, 2 redundant, one damaged."""
    made = pd.read_parquet(stages / "optimize/subset.parquet").reset_index(drop=True)
    kept = made.loc[made["selected"], "id"].iloc[0]
    dropped = made.index[~made["selected"]]
    made.loc[dropped, "reason"] = "over budget"
    made.loc[dropped[:3], ["reason", "predicted"]] = SUSPECTED, 2
    made.loc[dropped[3:5], ["reason", "evidence", "similarity"]] = "redundant", kept, 0.99
    made.loc[dropped[5], "reason"] = "damaged"
    return made


def near(made: pd.DataFrame) -> pd.DataFrame:
    """Two pairs of a class, and one of two classes; and one about a sample that is not in the pool."""
    green, red, blue = (made.loc[made["class_name"] == name, "id"].tolist() for name in ("green", "red", "blue"))
    pairs = [
        (green[-1], green[-2], 0.98, True),
        (red[1], red[0], 0.99, True),
        (blue[0], red[0], 0.975, False),
        ("held out", red[0], 1.0, True),
    ]
    return pd.DataFrame(pairs, columns=["id", "of", "cosine", "same_class"])


@pytest.fixture(scope="module")
def page_file(photo_stages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a report with samples of every reason."""
    room = tmp_path_factory.mktemp("report")
    shutil.copytree(photo_stages.with_name("originals"), room / "originals")
    stages = Path(shutil.copytree(photo_stages, room / "data"))
    made = table(stages)
    made.to_parquet(stages / "optimize/subset.parquet", index=False)
    near(made).to_parquet(stages / "score/near_duplicates.parquet", index=False)
    write_json(stages / "optimize/metrics.json", explain.summary(made))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(room)
        assemble.run(stages, room / "out", name="photos", parameters=PARAMETERS)
    return room / "out/report.html"


def test_galleries_show_each_sample_beside_what_explains_it(stages: Path) -> None:
    made, classes = table(stages), ["blue", "green", "red"]
    suspects = galleries.suspects(made, classes)
    assert [look.likely for look in suspects] == ["red"] * 3
    assert [caption for _, caption in suspects[0].beside] == ["typical red"], "green has nothing typical: none was kept"
    (one, two) = galleries.near_duplicates(made, near(made), classes, same_class=True)
    assert [look.note for look in (one, two)] == ["similarity 0.990", "similarity 0.980"]
    assert (one.given, one.caption) == ("red", "red: kept")
    assert two.caption == "green: over budget"
    odds = made.set_index("id")["alignment"]
    (conflict,) = galleries.near_duplicates(made, near(made), classes, same_class=False)
    ((other, caption),) = conflict.beside
    assert {conflict.caption, caption} == {"red: kept", "blue: kept"}, "both labels, side by side"
    assert odds[conflict.id] < odds[other], "the less likely first"
    assert len(galleries.damaged(made, classes)) == 1
    ends = galleries.ends_of_classes(made, classes)
    kept = made[made["selected"] & (made["class_name"] == "red")].sort_values("alignment")["id"].tolist()
    assert [look.id for look in ends["red"]] == kept[::-1][:3] + kept[:3][::-1]


def test_suspects_say_how_many_of_several_encoders_agree(stages: Path) -> None:
    made, classes = table(stages), ["blue", "green", "red"]
    assert "encoders" not in galleries.suspects(made, classes)[0].note
    made = made.assign(agree=1, predicted_1=0, predicted_2=1)
    assert galleries.suspects(made, classes)[0].note.endswith("; 1 of 2 encoders see it alone")


def test_pictures_of_suspects_stay_in_the_room_there_is_and_the_rest_are_listed(
    stages: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = table(stages)
    made.loc[~made["selected"], ["reason", "predicted"]] = SUSPECTED, 2
    made.to_parquet(stages / "optimize/subset.parquet", index=False)
    write_json(stages / "optimize/metrics.json", explain.summary(made))
    monkeypatch.setattr(report, "BATCH", 2)
    monkeypatch.setattr(report, "ROOM", 1)
    assemble.run(stages, workdir / "out", name="photos", parameters=PARAMETERS)
    page = (workdir / "out/report.html").read_text()
    (listed,) = re.findall(r'id="unseen">(.*?)</script>', page)
    suspected = made[made["reason"] == SUSPECTED].sort_values(["alignment", "id"])["id"].tolist()
    assert [row[0] for row in json.loads(listed)] == suspected, "each of them is reached"
    assert f"All {len(suspected)}, the most suspected first" in page
    assert f"The last {len(suspected)} have no picture" in page
    monkeypatch.setattr(report, "LISTED", 1)
    assemble.run(stages, workdir / "out", name="photos", parameters=PARAMETERS)
    assert f"{len(suspected) - 1} of them are only in" in (workdir / "out/report.html").read_text()


def test_the_largest_report_is_below_eleven_megabytes() -> None:
    """As many pictures as there is room for, one batch more, and every other gallery full of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (report.SIZE, report.SIZE, 3), np.uint8)
    most = len(report._uri(Image.fromarray(noise)))
    others = galleries.TWINS * 4 + galleries.BROKEN + galleries.CLASSES * 2 * galleries.ENDS
    assert others * most < report.ROOM, "suspects have room"
    assert report.ROOM + 3 * report.BATCH * most < 11_000_000


def test_a_picture_that_is_shown_often_is_in_the_page_once(page_file: Path) -> None:
    pictures = re.findall(r"data:image/webp;base64,[^\"]+", page_file.read_text())
    assert len(pictures) == len(set(pictures)) > 5


def test_labels_that_are_trusted_against_the_look_of_the_image_are_explained(stages: Path, workdir: Path) -> None:
    made = table(stages)
    kept = made.index[made["selected"]][:2]
    made.loc[kept, "predicted"] = (made.loc[kept, "label"] + 1) % 3
    trusted = int(((made["predicted"] != made["label"]) & ~made["reason"].isin([SUSPECTED, "damaged"])).sum())
    made.to_parquet(stages / "optimize/subset.parquet", index=False)
    assemble.run(stages, workdir / "out", name="photos", parameters=PARAMETERS)
    page = (workdir / "out/report.html").read_text()
    assert trusted >= 2
    assert (
        f"{trusted} images ({100 * trusted / len(made):.0f}%) look most like another class, but their labels are"
        in page
    )
    assert ", trusted; looks most like" in page


def test_the_same_release_gives_the_same_page_without_any_address(
    page_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(page_file.parents[1])
    assemble.run(page_file.parents[1] / "data", tmp_path / "again", name="photos", parameters=PARAMETERS)
    page = page_file.read_text()
    assert (tmp_path / "again/report.html").read_text() == page
    outside = set(re.findall(r"https?://[^\s\"'<>)]+", page))
    assert {re.sub(r"^http://www\.w3\.org/.*", "", name) for name in outside} <= {""}, "names of formats only"


def test_whatever_a_name_holds_is_shown_and_never_run(stages: Path, workdir: Path) -> None:
    made = table(stages).assign(class_name=EVIL)
    made.to_parquet(stages / "optimize/subset.parquet", index=False)
    write_json(stages / "optimize/metrics.json", explain.summary(made))
    write_json(stages / "prepare/images/classes.json", [EVIL, "</script><script>alert(2)</script>", "{{ 7 * 7 }}"])
    assemble.run(stages, workdir / "out", name="photos", parameters=PARAMETERS)
    for name in ("report.html", "card.md"):
        text = (workdir / "out" / name).read_text()
        assert "<img src=x" not in text
        assert "<script>alert" not in text
    assert "{{ 7 * 7 }}" in (workdir / "out/report.html").read_text()


LINKS = ["![x](https://tracker.example/p.png)", "`a` | b", "[a](javascript:alert(3))"]
NAMES = [*LINKS, EVIL, "../x", "__init__ & *so*", "~~no~~ $1$", "plain_name 1", "naïve 猫"]


def test_a_card_shows_names_as_they_are(stages: Path, workdir: Path) -> None:
    """As Markdown: no picture, link or code comes of a name, wherever it stands."""
    parameters = PARAMETERS | {"prepare": {"source": "x` ![y](https://tracker.example/q.png) <script>"}}
    write_json(stages / "prepare/images/classes.json", LINKS)
    write_json(stages / "embed/encoder.json", {"encoder": LINKS[0], "weights_sha256": "ab", "prompts": ["a {}"]})
    assemble.run(stages, workdir / "out", name="photos", parameters=parameters)
    card = (workdir / "out/card.md").read_text().split("---", 2)[2]
    page = Markdown(extensions=["tables"]).convert(card)
    pictures = set(re.findall(r'<img[^>]*src="([^"]*)"', page))
    assert pictures == {f"figures/{name}.png" for name in ("accuracy", "classes", "scores", "suspects")}
    assert "<a " not in page
    assert "<script" not in page
    cells = [html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in re.findall(r"<td>(.*?)</td>", page)]
    assert set(LINKS) <= set(cells)
    assert "https://" not in card, "which some pages make a link of"


@pytest.mark.parametrize("name", NAMES)
def test_plain_text_is_one_cell_that_reads_as_it_was(name: str) -> None:
    page = Markdown(extensions=["tables"]).convert(f"|a|b|\n|---|---|\n| {pages.plain(name)} | 1 |")
    (cell, _) = re.findall(r"<td>(.*?)</td>", page)
    assert html.unescape(cell) == name
    assert "<" not in cell


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, page_file: Path) -> Iterator[Page]:
    """Open the report without a network; a page that complains fails the test."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened, complaints = context.new_page(), list[str]()
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: dialog.accept())
    opened.goto(page_file.as_uri())
    yield opened
    assert complaints == []
    context.close()


def shown(page: Page) -> int:
    return page.locator(".card:not([hidden])").count()


@needs_browser
def test_search_and_filters_leave_what_was_asked_for(page: Page) -> None:
    every = shown(page)
    assert page.get_by_text(f"{every} of {every} images", exact=True).is_visible()
    page.get_by_label("Reason").select_option("suspected label")
    assert shown(page) == 3
    assert not page.get_by_role("heading", name="Near duplicates").is_visible()
    page.get_by_label("Reason").select_option("")
    page.locator("#class").select_option("blue")
    assert 0 < shown(page) < every
    page.get_by_label("Search").fill("no such image")
    assert page.get_by_text(f"0 of {every} images", exact=True).is_visible()


@needs_browser
def test_clicks_become_corrections_that_prepare_reads(page: Page, page_file: Path, stages: Path) -> None:
    assert page.get_by_role("button", name="Save corrections.csv").is_disabled()
    suspects = page.locator("section[aria-labelledby=suspects] .card")
    first, second = (suspects.nth(i).get_attribute("data-id") for i in range(2))
    twin = page.locator("section[aria-labelledby=conflicts] .card").first
    for label in ("red: kept", "blue: kept"):
        assert twin.get_by_text(label).is_visible()
    suspects.nth(0).get_by_role("button", name="relabel").click()
    suspects.nth(1).get_by_role("button", name="relabel").click()
    suspects.nth(1).get_by_role("combobox").fill("blue")
    twin.get_by_role("button", name="drop").click()
    suspects.nth(2).get_by_role("button", name="keep").click()
    suspects.nth(2).get_by_role("button", name="keep").click()  # taken back
    page.get_by_label("Your name").fill('Ada "A." L')
    assert page.get_by_text("3 decisions").is_visible()
    page.wait_for_timeout(1000)  # a browser writes down what a page stores in its own time
    page.reload()
    assert page.get_by_text("3 decisions").is_visible(), "kept for the next visit"
    page.get_by_label("Your name").fill('Ada "A." L')
    with page.expect_download() as download:
        page.get_by_role("button", name="Save corrections.csv").click()
    assert download.value.suggested_filename == "corrections.csv"
    pool = table(stages)
    done = corrections.apply(pool[["id", "label"]], ["blue", "green", "red"], Path(download.value.path()))
    labels = done.table.set_index("id")["label"]
    assert (labels[first], labels[second]) == (2, 0)
    assert pool.loc[done.dropped, "id"].tolist() == [twin.get_attribute("data-id")]
    assert set(done.applied["by"]) == {'Ada "A." L'}
    assert done.applied["release"].str.match(r"photos:[0-9a-f]{16}$").all()
    page.get_by_role("button", name="Clear").click()
    assert page.get_by_text("0 decisions").is_visible()


@needs_browser
def test_a_class_that_is_none_is_not_saved(page: Page) -> None:
    card = page.locator(".card").first
    card.get_by_role("button", name="relabel").click()
    card.get_by_role("combobox").fill("purple")
    page.get_by_role("button", name="Save corrections.csv").click()
    assert page.get_by_text("purple is no class").is_visible()


SUSPECTS, PICTURED = 60, 40


@pytest.fixture(scope="module")
def long_page_file(photo_stages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a report with 60 suspects, of whom the first 40 have pictures: copies of one sample under other ids."""
    data, made = dataset.load(photo_stages / "prepare/images"), table(photo_stages)
    names = [f"suspect-{number:02d}.png" for number in range(SUSPECTS)]
    row = made.iloc[[0]].assign(reason=SUSPECTED, predicted=2, selected=False)
    suspects = [row.assign(id=name, alignment=-100.0 + number) for number, name in enumerate(names)]
    entry = data.index[data.index["id"] == row["id"].iloc[0]]
    data = replace(data, index=pd.concat([data.index, *(entry.assign(id=name) for name in names)], ignore_index=True))
    described = read_json(photo_stages / "release/manifest.json")
    path = tmp_path_factory.mktemp("long") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(photo_stages.parent)
        patch.setattr(report, "BATCH", PICTURED)
        patch.setattr(report, "ROOM", 4000)
        everything = pd.concat([made[made["selected"]], *suspects], ignore_index=True)
        path.write_text(report.render(data, everything, near(made)[:0], described))
    return path


@needs_browser
def test_every_suspect_is_reached_page_by_page_and_can_be_decided_on(page: Page, long_page_file: Path) -> None:
    page.goto(long_page_file.as_uri())
    gallery = page.locator("section[aria-labelledby=suspects]")
    ahead = gallery.get_by_role("button", name="Next")
    seen: list[str] = []
    for text in ("1 to 24 of 60", "25 to 48 of 60", "49 to 60 of 60"):
        assert gallery.get_by_text(text, exact=True).is_visible()
        visible = gallery.locator(".card:not([hidden])")
        seen += visible.evaluate_all("cards => cards.map(card => card.dataset.id)")
        if ahead.is_enabled():
            ahead.click()
    assert seen == [f"suspect-{number:02d}.png" for number in range(SUSPECTS)]
    last = gallery.locator("[data-id='suspect-59.png']")
    assert last.get_by_text("alignment -41.00").is_visible()
    assert last.locator("svg, img").count() == 0
    last.get_by_role("button", name="relabel").click()
    assert page.get_by_text("1 decision", exact=True).is_visible()
    page.reload()
    page.get_by_label("Search").fill("suspect-59")
    assert gallery.locator(".card:not([hidden])").count() == 1
    assert last.get_by_role("button", name="relabel").get_attribute("aria-pressed") == "true"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save corrections.csv").click()
    assert '"suspect-59.png","relabel","red"' in Path(download.value.path()).read_text()


@needs_browser
def test_a_long_report_is_not_a_long_page(page: Page, long_page_file: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(long_page_file.as_uri())
    assert page.get_by_text("1 to 8 of 60", exact=True).is_visible()
    assert page.evaluate("document.documentElement.scrollHeight") < 20_000


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_tables_break_no_word(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate(WORDS) > 50
    assert page.evaluate(BROKEN) == []


WORDS = "[...document.querySelectorAll('th, td')].flatMap(cell => cell.innerText.split(/\\s+/)).length"
BROKEN = """() => {
    const texts = [...document.querySelectorAll('th, td')].flatMap(cell => {
        const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), found = []
        while (walker.nextNode()) found.push(walker.currentNode)
        return found
    })
    return texts.flatMap(node => [...node.data.matchAll(/\\S+/g)].filter(word => {
        const range = document.createRange()
        range.setStart(node, word.index)
        range.setEnd(node, word.index + word[0].length)
        return new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1
    }).map(word => word[0]))
}"""


@needs_browser
def test_everything_is_reached_by_the_keyboard_and_has_a_name(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the images"
    button = page.locator(".card").first.get_by_role("button", name="drop")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    nameless = """() => [...document.querySelectorAll(
        'button, input, select, img, [role=img], [role=region]')].filter(e => !(
          e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.alt || e.textContent.trim()
          || (e.labels && e.labels.length))).length"""
    assert page.evaluate(nameless) == 0
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
    assert levels[0] == 1 and max(np.diff(levels)) <= 1  # noqa: PT018


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read_in_either_light(page: Page, scheme: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for place in ("body", ".panel", ".soft", ".card", ".likely", ".given"):
        assert page.evaluate(CONTRAST, place) >= 4.5, place


CONTRAST = """selector => {
    const element = document.querySelector(selector)
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0)
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number)
    const style = getComputedStyle
    let ground = element
    while (ground.parentElement && numbers(style(ground).backgroundColor)[3] === 0) ground = ground.parentElement
    const [a, b] = [style(element).color, style(ground).backgroundColor].map(colour => light(numbers(colour)))
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05)
}"""


def test_what_answers_show_is_in_the_page_and_the_card(stages: Path, workdir: Path) -> None:
    made = table(stages)
    said = {"answers_right": 190, "answers_wrong": 8, "answers_unsure": 2}
    bound = {"checked": 200, "wrong_kept": 0.0123, "wrong_kept_at_most": 0.0345, "wrong_kept_confidence": 0.95}
    pages = {}
    for name, more in (("none", {}), ("some", said), ("all", said | bound | {"wrong_pool": 0.0678, "uncertain": 3})):
        write_json(stages / "optimize/metrics.json", explain.summary(made) | more)
        assemble.run(stages, workdir / name, name="photos", parameters=PARAMETERS)
        pages[name] = [" ".join((workdir / name / file).read_text().split()) for file in ("report.html", "card.md")]
    for page, card in (pages["none"], pages["some"]):
        assert ("190 right, 8 wrong, 2 unsure" in page) == ("190 right, 8 wrong, 2 unsure" in card)
        assert "confidence" not in card
    assert "No sample was answered in full" in pages["some"][0]
    page, card = pages["all"]
    assert "an estimated 1.23% are wrong, and <b>at most 3.45%</b>, with 95.0% confidence" in page
    assert (
        "an estimated 1.23% of the labels that were kept are wrong, and **at most 3.45%, with 95% confidence**" in card
    )
    assert "an estimated 6.8% have a wrong label" in page
    assert "uncertain: with it" in page
    assert "Nothing here says" not in card
    version = assemble.version(workdir / "all", {})
    words = "of the labels kept, about 1.23% are wrong, at most 3.45% with 95% confidence (200 images checked)"
    assert f"Wrong labels: {words}." in version.description
    assert version.metrics["selection.wrong_kept_at_most"] == 0.0345
    done = CliRunner().invoke(app, ["show", str(workdir / "all")])
    assert words in " ".join(done.output.split())
