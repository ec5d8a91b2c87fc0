"""The page in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chromium import AXE
from hand_made_pdf import words, write_pdf
from live_server import running

from lmv3det.inference.default_model import default_model_folder
from lmv3det.inference.detector import Detector
from lmv3det.serve.limits import Limits

PAGES = Path(__file__).parents[2] / "examples/pages"
SIZES = [(390, "dark"), (1280, "light")]


@pytest.fixture(scope="module")
def served():
    """The bundled model, as `lmv3det serve` has it."""
    limits = Limits(file_bytes=5_000_000)
    with running(Detector.load(default_model_folder(), "cpu"), limits) as live:
        yield live


@pytest.fixture
def opened(served, browser):
    """Opens the page; the errors that it made are looked at in the end."""
    errors = []

    def open_page(width: int, scheme: str, path: str = "/"):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, accept_downloads=True
        )
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"http://127.0.0.1:{served.port}{path}")
        if path == "/":
            page.locator("#classes label").first.wait_for(state="attached")
        return page

    asked: list[str] = []
    yield open_page
    # The browser itself reports a 429, which the page waits out.
    assert [error for error in errors if "status of 429" not in error] == []
    here = f"http://127.0.0.1:{served.port}/"
    assert [u for u in asked if not u.startswith((here, "data:", f"blob:{here}"))] == []


@pytest.fixture
def pdf(tmp_path):
    line = "Words that a page has in a line of some length"
    pages = [
        "".join(words(40, 370 - 14 * k, f"{number} {k} {line}", 10) for k in range(12))
        for number in range(3)
    ]
    return write_pdf(tmp_path / "three pages.pdf", *pages)


def upload(page, *paths) -> None:
    page.set_input_files("#files", [str(path) for path in paths])


def saved(page, name: str) -> tuple[str, str]:
    """The name and the content of a download."""
    with page.expect_download() as event:
        page.get_by_role("button", name=name, exact=True).click()
    return event.value.suggested_filename, Path(event.value.path()).read_text()


def fits(page, width: int) -> bool:
    """Whether nothing is scrolled sideways."""
    return page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_a_real_page(opened, width, scheme):
    page = opened(width, scheme)
    assert fits(page, width)
    upload(page, PAGES / "english.jpg")
    page.get_by_text("1 of 1 page done").first.wait_for()
    assert fits(page, width)
    shown = page.locator("#sheet rect.region")
    items = page.locator("#regions button")
    count = shown.count()
    assert count == items.count() > 8
    assert page.locator("#page-title").text_content() == "english.jpg"

    # The slider: fewer regions from a higher score on, each at least as sure.
    page.locator("#threshold").fill("0.95")
    assert 0 < shown.count() < count and page.locator("#score").text_content() == "0.95"
    scores = page.locator("#regions .count").all_text_contents()
    assert scores and min(map(float, scores)) >= 0.95
    page.locator("#threshold").fill("0.3")
    assert shown.count() == count

    # Classes: a switch takes away as many as it says.
    label = page.locator('#classes label[data-name="Text"]')
    texts = int(label.locator(".count").text_content())
    label.locator("input").uncheck()
    assert texts > 1 and shown.count() == items.count() == count - texts
    label.locator("input").check()

    # Reading order, from 1 without gaps; labels; regions.
    page.get_by_label("reading order").check()
    numbers = page.locator("#sheet .number text").all_text_contents()
    assert numbers == [str(k + 1) for k in range(len(numbers))] and len(numbers) > 8
    page.get_by_label("labels").set_checked(True)
    assert page.locator("#sheet .label").count() == count
    page.get_by_label("labels").uncheck()
    page.get_by_label("regions", exact=True).uncheck()
    assert shown.count() == 0 and page.locator("#sheet .label").count() == 0
    page.get_by_label("regions", exact=True).check()
    assert page.get_by_label("text lines").is_disabled()  # an image has no text layer

    # A region is selected by a click on it, and on its entry, by mouse and keyboard.
    page.get_by_label("reading order").uncheck()
    shown.last.click()
    assert page.locator("#sheet .region.shown").count() == 1
    chosen = page.locator('#regions button[aria-pressed="true"]')
    assert chosen.count() == 1
    assert page.locator("#detail b").is_visible() == (width < 860)
    chosen.focus()
    page.keyboard.press("Enter")
    assert chosen.count() == 0
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert chosen.count() == 1

    colors = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(colors)
    page.locator("#theme").click()
    assert page.evaluate(colors) != before


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_several_files_wait_and_a_broken_one_gets_a_sentence(opened, pdf, tmp_path, width, scheme):
    broken = tmp_path / "broken.png"
    broken.write_bytes((PAGES / "english.jpg").read_bytes()[:300])
    (tmp_path / "empty.png").touch()
    (tmp_path / "large.png").write_bytes(bytes(5_000_001))
    page = opened(width, scheme)
    files = tmp_path / "empty.png", tmp_path / "large.png", pdf, broken, PAGES / "chinese.jpg"
    upload(page, *files)
    page.get_by_text("1 of 1 page done").first.wait_for()
    states = page.locator("#list .state").all_text_contents()
    assert "empty" in states[0] and "larger than 5 MB" in states[1]
    assert states[2] == "3 of 3 pages done" and states[3].startswith("It ")
    assert page.locator("#list .failed").count() == 3
    assert page.locator("#strip button").count() == 4

    # Pages by buttons, keys and pictures.
    title = page.locator("#page-title")
    assert title.text_content() == "three pages.pdf, page 1 of 3"
    page.get_by_role("button", name="Next page").click()
    assert title.text_content() == "three pages.pdf, page 2 of 3"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert title.text_content() == "chinese.jpg"
    assert page.get_by_role("button", name="Next page").is_disabled()
    page.get_by_role("button", name="three pages.pdf, page 1", exact=True).click()
    page.get_by_label("text lines").check()
    assert page.locator("#sheet .line").count() == 12
    text = page.locator("#regions .text").first.text_content()
    assert "Words that a page has" in text

    # A file that is removed takes its pages along.
    page.get_by_role("button", name="Remove three pages.pdf").click()
    assert title.text_content() == "chinese.jpg"
    assert page.locator("#list li").count() == 4 and fits(page, width)


@pytest.mark.slow
def test_downloads(opened, pdf):
    """What is shown, and no more."""
    page = opened(1280, "light")
    upload(page, pdf, PAGES / "english.jpg")
    page.get_by_text("1 of 1 page done").first.wait_for()
    name, content = saved(page, "JSON")
    found = json.loads(content)
    assert name == "three pages.json" and [p["page"] for p in found["pages"]] == [1, 2, 3]
    assert "picture" not in found["pages"][0] and "entry" not in found["pages"][0]
    name, content = saved(page, "Markdown")
    assert name == "three pages.md" and "0 1 Words that a page has" in content
    page.locator("#scope").select_option("all")
    page.locator('#classes label[data-name="Text"] input').uncheck()
    name, content = saved(page, "COCO")
    coco = json.loads(content)
    names = {category["id"]: category["name"] for category in coco["categories"]}
    classes = {names[a["category_id"]] for a in coco["annotations"]}
    assert name == "pages.coco.json" and "Text" not in classes and "Figure" in classes
    assert [image["file_name"] for image in coco["images"]] == [
        *(f"three pages_p{k}.png" for k in (1, 2, 3)),
        "english.jpg",
    ]
    name, content = saved(page, "HTML")
    assert name == "pages.html" and 'src="data:image/jpeg;base64,' in content
    page.locator("#threshold").fill("1")
    assert not any(p["detections"] for p in json.loads(saved(page, "JSON")[1])["pages"])


@pytest.mark.slow
def test_dropped_and_pasted(opened):
    page = opened(1280, "light")
    data = page.evaluate_handle(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "dropped.jpg"));
            return data;
        }""",
        list((PAGES / "english.jpg").read_bytes()),
    )
    page.dispatch_event("#drop", "dragover", {"dataTransfer": data})
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    page.get_by_text("1 of 1 page done").first.wait_for()
    page.evaluate(
        "data => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))", data
    )
    page.locator("#list li").nth(1).get_by_text("1 of 1 page done").wait_for()


@pytest.mark.slow
def test_a_busy_server_is_asked_again(opened):
    """The first answer is 429, the next one what the server says."""
    page, answers = opened(390, "light"), []

    def answer(route) -> None:
        answers.append(route)
        if len(answers) == 1:
            route.fulfill(status=429, headers={"Retry-After": "1"}, body="{}")
        else:
            route.continue_()

    page.route("**/v1/detect*", answer)
    upload(page, PAGES / "english.jpg")
    page.get_by_text("the server is busy, next try in 1 s").first.wait_for()
    page.get_by_text("1 of 1 page done").first.wait_for()
    assert len(answers) == 2


@pytest.mark.slow
def test_a_password_is_asked_for(opened, tmp_path):
    path = write_pdf(tmp_path / "locked.pdf", words(40, 350, "a secret"), password="secret")
    page = opened(390, "light")
    upload(page, path)
    page.get_by_label("Password of the PDF").fill("wrong")
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("wrong password").first.wait_for()
    page.wait_for_function("document.activeElement.type === 'password'")
    page.keyboard.type("secret")
    page.keyboard.press("Enter")
    page.get_by_text("1 of 1 page done").first.wait_for()
    assert page.locator("#list form").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_accessibility(opened, pdf, tmp_path, width, scheme):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (npm ci --prefix tests/browser)")
    (tmp_path / "broken.png").write_text("no picture")

    def check(page) -> None:
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run()")
        assert [
            (violation["id"], [node["html"] for node in violation["nodes"]][:3])
            for violation in found["violations"]
        ] == []
        assert len(found["passes"]) > 10 and fits(page, width)

    check(opened(width, scheme, "/docs"))
    page = opened(width, scheme)
    check(page)
    upload(page, pdf, tmp_path / "broken.png")
    page.locator("#list .failed").wait_for()
    page.get_by_label("reading order").check()
    page.locator("#regions button").first.click()
    check(page)
