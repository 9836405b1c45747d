"""People answer with the keyboard or by clicks; each answer is on the disk at once, and no other page gets anything."""

import http.client
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, sync_playwright
from starlette.testclient import TestClient
from typer.testing import CliRunner

from winnow import corrections
from winnow.checking import page as pages
from winnow.checking import record, results, session
from winnow.checking.session import Session
from winnow.cli.main import app
from winnow.errors import InputError
from winnow.run import settings

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome: apt-get install chromium")
HEADER = "id,decision,label\n"
SIZE = 20


@pytest.fixture
def opened(stages: Path, workdir: Path) -> Session:
    """Give a sample of 20 of the 24 images of a project; the working directory is its folder."""
    (workdir / "corrections.csv").write_text(HEADER)
    return session.start(settings.load(), SIZE, 0)


@pytest.fixture
def client(opened: Session) -> TestClient:
    return TestClient(pages.app(opened, "secret", "Ada"), base_url="http://127.0.0.1:8000")  # type: ignore[arg-type]


def rows(path: Path = Path("corrections.csv")) -> pd.DataFrame:
    return corrections.read(path, ["blue", "green", "red"], set(pd.read_parquet(session.TABLE)["id"]))


def test_each_answer_is_a_row_with_who_and_when_and_the_last_one_counts(opened: Session) -> None:
    opened.answer(0, "right", "", " Ada\n Lovelace ")
    opened.answer(1, "wrong", "red", "Bob")
    opened.answer(0, "unsure", "", "Ada")
    lines = Path("corrections.csv").read_text().splitlines()
    assert len(lines) == 4, "nothing is taken out"
    assert lines[1].split(",")[1:5] == ["right", "", opened.shown[0]["given"], "Ada Lovelace"]
    assert re.fullmatch(r".*,\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00,,20-0", lines[1])
    state = opened.state()
    assert state["said"][:3] == ["unsure", "wrong", ""]
    assert (state["left"], state["found"]) == (SIZE - 2, None)
    assert rows().set_index("id")["decision"].to_dict() == {
        opened.shown[0]["id"]: "unsure",
        opened.shown[1]["id"]: "wrong",
    }


@pytest.mark.parametrize(
    "written",
    [
        HEADER.encode(),
        b"id,decision,label",
        "\ufeffid;decision;label\r\nred/1.png;drop;\r\n".encode(),
        "id\tdecision\tlabel\tnote\nred/1.png\tdrop\t\tse\u00e9n\n".encode("utf-16"),
        b"id,decision,label,given,by,on,release,sample\nred/1.png,drop,,,,,,",
        b"",
    ],
)
def test_rows_of_a_file_as_spreadsheets_save_it_stay(opened: Session, written: bytes) -> None:
    path = Path("corrections.csv")
    path.write_bytes(written)
    for number in range(3):
        opened.answer(number, "right", "", "Ada")
    made = rows()
    assert made["decision"].value_counts().to_dict() == {"right": 3} | (
        {"drop": 1} if b"r\x00e\x00d" in written or b"red" in written else {}
    )
    assert ("se\u00e9n" in path.read_text()) == (b"n\x00o\x00t\x00e" in written)


def test_two_people_at_once_lose_nothing(opened: Session) -> None:
    """Two processes and several threads append to a file that lacks columns at first."""
    code = (
        "import sys; from pathlib import Path; from winnow.checking import record\n"
        "for i in range(40): record.append(Path('corrections.csv'), {'id': f'{sys.argv[1]}{i}', 'decision': 'right'})"
    )
    command = [sys.executable, "-c", code]
    others = [subprocess.Popen([*command, name]) for name in "ab"]
    with ThreadPoolExecutor(4) as pool:
        row = {"decision": "right"}
        list(pool.map(lambda i: record.append(Path("corrections.csv"), row | {"id": f"c{i}"}), range(40)))
    assert [other.wait(60) for other in others] == [0, 0]
    found = pd.read_csv("corrections.csv", dtype=str)
    assert sorted(found["id"]) == sorted(f"{name}{i}" for name in "abc" for i in range(40))


def test_what_no_person_can_mean_is_refused_and_writes_nothing(client: TestClient) -> None:
    good = {"number": 0, "decision": "right"}
    for bad in (
        good | {"number": 20},
        good | {"number": -1},
        good | {"decision": "drop"},
        good | {"label": "red"},
        good | {"decision": "wrong", "label": "purple"},
        {"number": "x"},
        [],
    ):
        assert client.post("/secret/answer", json=bad).status_code == 400, bad
    assert client.post("/secret/answer", content=b"{" * 20_000).status_code == 413
    assert client.post("/secret/answer", content=b"\xff").status_code == 400
    assert Path("corrections.csv").read_text() == HEADER
    assert client.post("/secret/answer", json=good).json()["said"][0] == "right"


def test_pages_of_other_origins_and_whoever_lacks_the_path_get_nothing(client: TestClient) -> None:
    good = {"number": 0, "decision": "right"}
    for path in ("/", "/state", "/answer", "/image/0", "/other/state", "/secretx/state"):
        assert client.get(path).status_code == 404
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert client.get("/secret/state", headers=headers).status_code == 403
        assert client.post("/secret/answer", json=good, headers=headers).status_code == 403
    assert client.get("/secret/state", headers={"Host": "evil.example"}).status_code == 400
    assert Path("corrections.csv").read_text() == HEADER
    page = client.get("/secret/")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"


def test_names_in_the_page_are_shown_and_never_run(stages: Path, workdir: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    table = pd.read_parquet(session.TABLE).assign(class_name=evil)
    table.to_parquet(session.TABLE, index=False)
    made = session.start(settings.load(), SIZE, 0)
    page = TestClient(pages.app(made, "secret", evil), base_url="http://127.0.0.1:80").get("/secret/").text  # type: ignore[arg-type]
    assert "<script>alert" not in page


def test_the_report_states_a_bound_once_all_are_answered(opened: Session) -> None:
    def ask(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["check", ".", "--size", str(SIZE), "--report", *options])
        return done.exit_code, done.output

    code, said = ask()
    assert (code, said.splitlines()[0]) == (1, f"0 of {SIZE} answered: 0 right, 0 wrong, 0 unsure")
    assert "a bound is stated once every image of the sample is answered" in said
    kept = [bool(opened.table["selected"].iloc[row]) for row in opened.sample.rows]
    for number in range(SIZE):
        opened.answer(number, "wrong" if number == kept.index(True) else "right", "", "Ada")
    code, said = ask()
    assert (code, f"{SIZE} of {SIZE} answered: 19 right, 1 wrong, 0 unsure\n" in said) == (0, True)
    assert "wrong among the 16 kept: about" in said
    code, told = ask("--json")
    assert json.loads(told)["found"]["at_most"] == json.loads(told)["found"]["wrong"] == 1 / 16, "all were drawn"
    Path("params.yaml").write_text("prepare: {source: originals}\noptimize: {max_wrong: 0.01}\n")
    assert ask()[0] == 0, "less is kept then, without the one that is wrong"
    for number in range(SIZE):
        opened.answer(number, "wrong", "", "Ada")
    code, said = ask()
    assert (code, "that is more than optimize.max_wrong" in said) == (1, True)


def test_bad_input_is_told_with_the_way_out(opened: Session, tmp_path: Path) -> None:
    opened.answer(0, "wrong", "", "Ada")
    repair = f"{opened.shown[0]['id']},relabel,red,,,,,\n"
    Path("corrections.csv").write_text(Path("corrections.csv").read_text() + repair)
    with pytest.raises(InputError, match="draw another with --seed 1"):
        session.start(settings.load(), SIZE, 0)
    assert session.start(settings.load(), SIZE, 1).answers().spent == [results.parse("20-0")]
    run = CliRunner().invoke
    assert "is no folder" in run(app, ["check", "none"]).output
    (tmp_path / "empty").mkdir()
    done = run(app, ["check", str(tmp_path / "empty")])
    assert (done.exit_code, "params.yaml is missing" in done.output) == (2, True)


@pytest.fixture
def served(opened: Session) -> Iterator[str]:
    """Give the address of `winnow check` as a person starts it."""
    command = [sys.executable, "-m", "winnow.cli.main", "check", ".", "--size", str(SIZE), "--by", "Ada"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    line = process.stdout.readline()
    found = re.search(r"check 20 images at (http://127\.0\.0\.1:\d+/\S{32}/)", line)
    assert found, line
    yield found[1]
    process.terminate()
    process.wait(30)


@needs_browser
def test_a_person_answers_with_keys_and_clicks(served: str, opened: Session, tmp_path: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        complaints = list[str]()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(served)
        page.get_by_text(f"0 of {SIZE} answered; image 1").wait_for()
        assert page.locator("#given").inner_text() == opened.shown[0]["given"]
        assert page.locator("#photo").evaluate("image => image.decode().then(() => image.naturalWidth)") == 512
        page.screenshot(path=tmp_path / "wide.png", full_page=True)
        page.keyboard.press("r")
        page.get_by_text(f"1 of {SIZE} answered; image 2").wait_for()
        page.keyboard.press("c")
        page.keyboard.type("purple")
        page.keyboard.press("Enter")
        page.get_by_text("purple is no class").wait_for()
        page.locator("#label").fill("green")
        page.keyboard.press("Enter")
        page.get_by_text(f"2 of {SIZE} answered; image 3").wait_for()
        page.keyboard.press("b")
        page.get_by_text(f"2 of {SIZE} answered; image 2").wait_for()
        assert page.get_by_role("button", name="Wrong").get_attribute("aria-pressed") == "true"
        page.keyboard.press("u")
        page.get_by_text(f"2 of {SIZE} answered; image 3").wait_for()
        opened.answer(2, "right", "", "Bob")  # somebody else, at once
        page.get_by_role("button", name="Right").click()
        page.get_by_text(f"3 of {SIZE} answered; image 4").wait_for()
        page.set_viewport_size({"width": 390, "height": 844})
        page.screenshot(path=tmp_path / "phone.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert _is_in_view(page, "Right")
        for answered in range(3, SIZE):
            page.get_by_text(f"{answered} of {SIZE} answered").wait_for()
            page.keyboard.press("r")
        page.get_by_text("wrong among the 16 kept: about 0.00%, at most 0.00% with 95% confidence").wait_for()
        page.screenshot(path=tmp_path / "done.png", full_page=True)
        assert complaints == []
        browser.close()
    made = rows().set_index("id")
    assert made.loc[opened.shown[1]["id"], ["decision", "by"]].tolist() == ["unsure", "Ada"]
    assert len(made) == SIZE
    assert (opened.answers().said != "").sum() == SIZE


def _is_in_view(page: Page, name: str) -> bool:
    box = page.get_by_role("button", name=name).bounding_box()
    return bool(box and box["y"] + box["height"] <= 844)


def test_only_this_machine_is_listened_to(served: str) -> None:
    port = int(served.split(":")[2].partition("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/")
    assert connection.getresponse().status == 404
