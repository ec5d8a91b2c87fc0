"""The report: what it holds, and how it works in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from chromium import AXE
from PIL import Image

from lmv3det.cli import main
from lmv3det.data.coco import CocoDataset
from lmv3det.evaluation.results import read_results


@pytest.fixture
def runs(tiny_data):
    """Two results: the first misses a region and calls another by a wrong name, the second is
    right."""
    right = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "bbox": a["bbox"], "score": s}
        for a, s in zip(
            tiny_data.content["annotations"], (0.9, 0.8, 0.7, 0, 0.6, 0.95), strict=True
        )
        if not a.get("iscrowd")
    ]
    wrong = [dict(entry) for entry in right[1:]]
    wrong[0]["category_id"] = 7
    wrong.append({"image_id": 11, "category_id": 3, "bbox": [1, 1, 5, 5], "score": 0.99})
    paths = []
    for name, results in (("first", wrong), ("second", right)):
        paths.append(tiny_data.root / f"{name}.json")
        paths[-1].write_text(json.dumps(results))
    return paths


@pytest.fixture
def report(tiny_data, runs, capsys):
    """Runs `lmv3det report`; returns the page's path."""

    def write(*words, results=runs):
        given = [*results, "--annotations", tiny_data.annotations, "--images", tiny_data.images]
        out = tiny_data.root / "report"
        code = main(["report", *map(str, (*given, *words, "--out", out))])
        assert code == 0, capsys.readouterr().err
        return out / "report.html"

    return write


def test_a_report_needs_nothing_else(report):
    page = report().read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "http" not in re.sub(r"http://www\.w3\.org/2000/svg|http-equiv", "", page)
    assert page.count("<figure") == 4 and page.count("data:image/webp") == 4
    assert "2 pages have fewer mistakes" in page  # a.png and b.png


def test_two_runs_are_told_apart_in_one_table(report):
    """What is of the second run says so; a class of few regions is marked."""
    page = report("--names", "old", "new").read_text()
    for heading in ("AP50, new", "threshold, new", "how many, old", "AP50 that it costs, new"):
        assert f">{heading}</th>" in page, heading
    assert page.count("Mistakes by kind</h2>") == 1 and page.count("how many, old") == 1
    assert "Fewer than 10 regions" in page
    alone = report(results=[report().parents[1] / "first.json"]).read_text()
    assert ">AP50</th>" in alone and ">how many</th>" in alone


def test_boxes_are_shown_from_the_thresholds_that_mistakes_are_counted_from(report):
    page = report().read_text()
    limits = json.loads(re.search(r'id="limits">(.*?)</script>', page).group(1))
    boxes = re.findall(r'<rect class="p r(\d) c(\d)([^"]*)"[^>]*data-s="([\d.]+)"', page)
    assert len(boxes) == 10 and len(limits) == 2
    for run, label, classes, score in boxes:
        assert (" off" in classes) == (float(score) < limits[int(run)][int(label)])


def test_regions_that_either_run_misses_are_marked(report, runs):
    """The first results miss a region, in whichever place they are."""
    for results, place in ((runs, 0), (runs[::-1], 1)):
        page = report(results=results).read_text()
        marked = re.findall(r'<rect class="t c\d((?: missed-\d)*)"', page)
        assert sorted(marked) == [""] * 4 + [f" missed-{place}"]


def test_the_axes_of_a_training_have_round_numbers():
    from lmv3det.evaluation.run_report import _plot

    plot = _plot("AP", {"AP": [(20, 43.7), (40, 71.9), (60, 73.1)]})
    assert plot.x_ticks == [(0, "20"), (25, "30"), (50, "40"), (75, "50"), (100, "60")]
    assert plot.y_ticks == [(0, "0"), (25, "20"), (50, "40"), (75, "60"), (100, "80")]
    assert plot.series[0][2].endswith("100.0,8.6")  # 73.1 of 80
    losses = _plot("losses", {"total": [(0, 2.1), (10, 0.0354)]}, log=True)
    assert [label for _, label in losses.y_ticks] == ["0.05", "0.1", "0.2", "0.5", "1", "2"]
    wide = _plot("losses", {"total": [(0, 1000.0), (10, 1e-5)]}, log=True)
    assert [label for _, label in wide.y_ticks] == [
        "1e-05", "0.0001", "0.001", "0.01", "0.1", "1", "10", "100", "1000",
    ]  # fmt: skip
    assert _plot("one step", {"lr": [(5, 0.0)]}).x_ticks


def test_names_of_files_and_classes_are_text(report, tiny_data, runs):
    """They cannot add tags, break the script's data, or fake lines."""
    name = "</script><img src=x onerror=alert(1)>\n\x1b"
    (tiny_data.images / "a.png").rename(tiny_data.images / "<b>a.png")
    tiny_data.content["images"][0]["file_name"] = "<b>a.png"
    tiny_data.content["categories"][0]["name"] = name
    tiny_data.save()
    page = report(results=runs[:1]).read_text()
    assert "<img src=x" not in page and "<b>a.png" not in page.replace("<b>&lt;b&gt;a.png", "")
    assert page.count("</script>") == 4
    assert "&lt;b&gt;a.png" in page and r"\n\x1b" in page


def test_an_image_that_cannot_be_read_is_reported(report, tiny_data):
    (tiny_data.images / "a.png").write_text("no picture")
    page = report().read_text()
    assert page.count("data:image/webp") == 3 and "a.png: not an image" in page.replace(
        "&#39;", "'"
    )


def test_no_detections_and_no_regions(report, tiny_data):
    (tiny_data.root / "none.json").write_text("[]")
    report(results=[tiny_data.root / "none.json"])
    tiny_data.content["annotations"] = []
    tiny_data.save()
    report(results=[tiny_data.root / "none.json"])
    report("--pages", "0")


def test_the_file_stays_small(tiny_data, report):
    """However many pages there are, images are added only up to a number of bytes."""
    from lmv3det.evaluation import report as module

    generator = np.random.default_rng(0)
    for name in "abcd":
        noise = generator.integers(0, 256, (900, 700, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tiny_data.images / f"{name}.png")
    (size,) = {len(_encoded(report)) for _ in range(1)}
    limit = module.IMAGE_BYTES
    module.IMAGE_BYTES = size // 2
    try:
        page = report().read_text()
    finally:
        module.IMAGE_BYTES = limit
    assert page.count("data:image/webp") in (1, 2)


def _encoded(report) -> bytes:
    images = re.findall(r"base64,([^\"]+)", report().read_text())
    return "".join(images).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "not COCO results"),
        ("[3]", "[0]: 3 is no detection"),
        ('[{"image_id": 99}]', "[0]: image_id 99 is that of no page"),
        ('[{"image_id": [10]}]', "image_id [10]"),
        ('[{"image_id": 10, "category_id": 1}]', "category_id 1"),
        ('[{"image_id": 10, "category_id": 3, "bbox": [1, 2, 3]}]', "is not [x, y, w, h]"),
        ('[{"image_id": 10, "category_id": 3, "bbox": [1, 2, 3, NaN]}]', "is not [x, y, w, h]"),
        ('[{"image_id": 10, "category_id": 3, "bbox": [1, 2, 3, -4]}]', "negative width"),
        ('[{"image_id": 10, "category_id": 3, "bbox": [1, 2, 3, 4]}]', "score None"),
        ("[", "not JSON"),
    ],
)
def test_results_that_cannot_be_used(tiny_data, tmp_path, capsys, content, message):
    (tmp_path / "bad.json").write_text(content)
    given = ["--annotations", tiny_data.annotations, "--images", tiny_data.images]
    assert main(["report", str(tmp_path / "bad.json"), *map(str, given)]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not Path("report").exists()


def run_folder(data) -> Path:
    """A folder as a training leaves it: a cut-off loss, two evaluations, settings, a picture."""
    folder = data.root / "run"
    (folder / "pictures" / "over_time").mkdir(parents=True)
    entries = [
        {"step": step, "lr": 1e-3, "total": 2.0 / step, "loss_rpn_cls": 1.0 / step,
         "pages_per_second": 3.0, "memory_gib": 0.5}
        for step in range(1, 1200)
    ]  # fmt: skip
    scores = {"AP": 12.5, "AP50": 30.0, "AP75": None, "per_class": {"<b>": {"AP": None}}}
    entries += [{"step": s, "evaluation": {"bbox": scores}, "seconds": 1.0} for s in (600, 1199)]
    lines = "\n".join(map(json.dumps, entries))
    (folder / "metrics.jsonl").write_text(lines + '\n{"step": 12', encoding="utf-8")
    data.content["annotations"][0]["category_id"] = 99
    data.save()
    (folder / "config.yaml").write_text(
        f"data:\n  train:\n    annotations: {data.annotations}\n    images: {data.images}\n"
    )
    Image.new("RGB", (300, 200)).save(folder / "pictures" / "over_time" / "page<i>.png")
    (folder / "pictures" / "train_batch.png").write_text("no picture")
    return folder


def test_report_of_a_training(tiny_data, capsys):
    out = tiny_data.root / "report"
    assert main(["report", str(run_folder(tiny_data)), "--out", str(out)]) == 0
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 5 and page.count("data:image/webp") == 1
    assert ">12.5<" in page and "1 unknown category" in page
    assert "<b>" not in page.replace("<b>{", "") and "page&lt;i&gt;" in page
    assert "annotations.json" in page and len(page) < 100_000
    assert main(["report", str(tiny_data.images), "--out", str(out)]) == 1
    assert "no folder of a training" in capsys.readouterr().err
    assert main(["report", str(tiny_data.root / "run" / "metrics.jsonl")]) == 1
    assert "give --annotations FILE and --images DIR" in capsys.readouterr().err


CUT = """
() => {
  const sheet = document.querySelector("dialog svg").getBoundingClientRect();
  return [...document.querySelectorAll("dialog svg text")].filter(text => {
    const box = text.getBoundingClientRect();
    return box.left < sheet.left - 1 || box.right > sheet.right + 1;
  }).map(text => text.textContent);
}
"""
"""Labels of the enlarged page that its sides cut off."""


def opened(browser, path, width, scheme):
    """The page of a report, and the errors it made."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    page, errors = context.new_page(), []
    page.set_default_timeout(120_000)
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    return page, errors


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_in_a_browser(report, tiny_data, browser, width, scheme):
    path = report("--ocr", tiny_data.ocr, "--names", "old", "new")
    page, errors = opened(browser, path, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width  # no sideways scrolling

    def visible(selector: str) -> int:
        boxes = page.locator(f"#grid {selector}")
        return boxes.evaluate_all(
            "b => b.filter(x => getComputedStyle(x).display != 'none').length"
        )

    kept = visible("rect.p")  # from the threshold of each class on, as mistakes are counted
    page.locator("#threshold").fill("0")
    assert (visible("rect.t"), visible("rect.p"), visible("rect.l")) == (5, 5, 0)
    page.locator("#threshold").fill("1")
    assert visible("rect.p") == 0 and not page.locator("#own").is_checked()
    page.locator("#own").check()
    assert visible("rect.p") == kept > 0
    page.locator("#threshold").fill("0")
    page.get_by_label("text lines").check()
    assert visible("rect.l") == 8
    page.get_by_label("truth", exact=True).uncheck()
    assert visible("rect.t") == 0
    page.get_by_label("new", exact=True).check()
    assert visible("rect.p.r1") == 5 and visible("rect.p.r0") == 0
    page.locator("#threshold").fill("0.75")
    assert visible("rect.p") == 3 and page.locator("#score").text_content() == "0.75"
    page.locator("summary", has_text="Classes").click()
    page.locator('[data-class="0"]').uncheck()  # Table, the lower id
    assert visible("rect.p") == 1
    page.get_by_label("truth", exact=True).check()
    page.locator("#threshold").fill("0")
    page.locator('[data-class="0"]').check()

    # Enlarged by keyboard; controls work there; Escape gives the focus back.
    button = page.locator(".open").first
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    assert dialog.is_visible()
    first = page.locator("#dialog-title").text_content()
    assert page.locator("dialog svg text").count() > 0
    assert page.evaluate(CUT) == []
    page.get_by_role("button", name="Next page").click()
    assert page.locator("#dialog-title").text_content() != first
    page.locator("dialog [data-layer=prediction]").uncheck()
    assert page.locator("dialog rect.p").evaluate_all(
        "b => b.every(x => getComputedStyle(x).display == 'none')"
    )
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.className") == "open"
    page.wait_for_selector("#viewer #controls")

    page.locator("#find").fill("c.PNG")
    assert page.locator("#table tbody tr").count() == 1
    page.locator("#table a").click()
    assert dialog.is_visible()
    page.locator("#close").click()
    colors = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(colors)
    page.locator("#theme").click()
    assert page.evaluate(colors) != before
    assert errors == []


@pytest.mark.slow
def test_pages_with_a_kind_of_mistake_are_found(report, browser):
    page, errors = opened(browser, report("--names", "old", "new"), 1280, "light")

    def found(kind: str, label: str = "") -> list[str]:
        page.locator("#kind").select_option(kind)
        page.locator("#of-class").select_option(label)
        return sorted(page.locator("figure:visible figcaption b").all_text_contents())

    every = [f"{name}.png" for name in "abcd"]
    assert found("") == every and page.locator("#with").text_content() == ""
    assert found("background") == ["b.png"]
    assert page.locator("#with").text_content() == "1 of 4 pages"
    assert found("background", "0") == ["b.png"] and found("background", "1") == []  # a Table
    assert found("missed") == ["a.png"] == found("missed", "1")  # the Text that old lacks
    assert found("wrong class") == ["a.png"]
    page.get_by_label("new", exact=True).check()
    assert found("wrong class") == found("", "0") == [] and found("") == every
    page.get_by_label("old", exact=True).check()

    # The enlarged pages are those alone.
    assert found("", "0") == ["b.png"]
    page.locator(".open:visible").click()
    page.get_by_role("button", name="Next page").click()
    assert page.locator("#dialog-title").text_content() == "b.png"
    page.locator("#kind").select_option("missed")
    page.locator("#of-class").select_option("")
    page.get_by_role("button", name="Previous page").click()
    assert page.locator("#dialog-title").text_content() == "a.png"
    assert errors == []


@pytest.mark.slow
def test_a_training_fits_a_phone(tiny_data, browser):
    """Also where a picture has a long name."""
    folder, out = run_folder(tiny_data), tiny_data.root / "training"
    (picture,) = (folder / "pictures/over_time").iterdir()
    picture.rename(picture.with_name("a_very_long_name_" * 6 + ".png"))
    assert main(["report", str(folder), "--out", str(out)]) == 0
    page, errors = opened(browser, out / "report.html", 390, "light")
    assert page.evaluate("document.documentElement.scrollWidth") == 390 and errors == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_accessibility(report, tiny_data, browser, width, scheme):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (npm ci --prefix tests/browser)")
    training = tiny_data.root / "training"
    path = report()
    assert main(["report", str(run_folder(tiny_data)), "--out", str(training)]) == 0
    for state in ("training", "closed", "open"):
        if state != "open":
            shown = training / "report.html" if state == "training" else path
            page, errors = opened(browser, shown, width, scheme)
            page.evaluate(AXE.read_text())
        else:
            page.locator(".open").first.click()
        found = page.evaluate("axe.run()")
        assert [
            (violation["id"], [node["html"] for node in violation["nodes"]][:3])
            for violation in found["violations"]
        ] == []
        assert len(found["passes"]) > 15 and errors == []


def result(image: int, score: float, box: Sequence[float] = (4, 5, 20, 10)) -> dict:
    return {"image_id": image, "category_id": 7, "bbox": list(box), "score": score}


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([result(10, -0.5)], "1 of 1 detections have a score below 0 or above 1 (-0.5 to -0.5)"),
        ([result(10, 87.0)], "above 1 (87 to 87)"),
        ([result(10, 0.5)] * 2, "1 of 2 detections are there twice"),
        ([result(10, 0.5), result(12, 0.5)], "2 of 4 pages have no detection (image 11, 13)"),
        ([result(10, 0.5, (0.1, 0.2, 0.8, 0.6))], "perhaps they are fractions of the page"),
        ([result(10, 0.5, (15, 20, 39, 59))], "perhaps they are corners"),
        ([], "no detection at all"),
    ],
)
def test_results_that_look_like_a_mistake_are_told_of(tiny_data, tmp_path, caplog, results, said):
    """Failed before: all of them were scored without a word."""
    dataset = CocoDataset(tiny_data.annotations, tiny_data.images, quiet=True)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    assert read_results(path, dataset) == results
    assert said in caplog.text
    usual = [result(key, 0.5, (4, 5, 10 + key, 10)) for key in (10, 11, 12, 13)]
    path.write_text(json.dumps(usual))
    caplog.clear()
    read_results(path, dataset)
    assert not caplog.records
