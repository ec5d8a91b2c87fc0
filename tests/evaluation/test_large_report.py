"""The report of 5000 pages: its size, and that it works in a browser.

`python -m tests.evaluation.test_large_report` prints how long it takes to open.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from random import Random

import pytest
from PIL import Image, ImageDraw

from lmv3det.cli import main
from tests.chromium import CHROMIUM, FLAGS

PAGES, DISTINCT, MOST_BYTES = 5000, 50, 20_000_000
SHOWN = """
async () => {
  const first = document.querySelector("#grid img, #grid image");
  first.scrollIntoView();
  if (first.decode) await first.decode();
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
}
"""
"""Until the first of the worst pages is painted."""


def make_report(folder: Path) -> Path:
    """A report of 5000 pages: 50 drawn ones, linked; 12 regions a page, some missed, moved or of
    another class."""
    draw = Random(0)
    (folder / "images").mkdir()
    for number in range(DISTINCT):
        page = Image.new("L", (850, 1100), "white")
        pen = ImageDraw.Draw(page)
        for row in range(60):
            y = 60 + 16 * row
            for x in range(80, 760, 9):
                if draw.random() < 0.8:
                    pen.rectangle((x, y, x + draw.randrange(3, 8), y + 8), fill=draw.randrange(90))
        page.save(folder / f"images/{number}.jpg", quality=80)
    images: list[dict] = []
    annotations: list[dict] = []
    results: list[dict] = []
    for key in range(1, PAGES + 1):
        name = f"{key:05}.jpg"
        os.link(folder / f"images/{key % DISTINCT}.jpg", folder / "images" / name)
        images.append({"id": key, "file_name": name, "width": 850, "height": 1100})
        for row in range(12):
            box = [80, 60 + 80 * row, draw.randrange(300, 680), 70]
            label = draw.randrange(1, 6)
            annotations.append({"id": len(annotations) + 1, "image_id": key, "category_id": label,
                                "bbox": box, "area": box[2] * box[3], "iscrowd": 0})  # fmt: skip
            if draw.random() < 0.9:
                moved = [v + draw.randrange(-9, 10) for v in box]
                label = label if draw.random() < 0.93 else draw.randrange(1, 6)
                results.append({"image_id": key, "category_id": label, "bbox": moved,
                                "score": round(draw.random(), 3)})  # fmt: skip
    categories = [{"id": k, "name": f"class {k}"} for k in range(1, 6)]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    words = ["report", "results.json", "--annotations", "annotations.json", "--images", "images"]
    names = [str(folder / word) if (folder / word).exists() else word for word in words]
    assert main([*names, "--out", str(folder / "report")]) == 0
    return folder / "report/report.html"


@pytest.mark.slow
def test_5000_pages_are_one_small_file_that_opens(tmp_path, browser):
    path = make_report(tmp_path)
    assert path.stat().st_size < MOST_BYTES
    page, errors = browser.new_page(), []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    page.locator("#find").fill("04999")
    assert page.locator("#table tbody tr").count() == 1
    page.locator(".open").first.click()
    assert page.locator("dialog").is_visible() and errors == []


def measure() -> None:
    """Print the file's size, and the seconds until it has loaded and shown a page, three times."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        path = make_report(Path(folder))
        print(f"{path.stat().st_size / 1e6:.1f} MB")
        for _ in range(3):
            browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page()
            began = time.perf_counter()
            page.goto(path.as_uri())
            loaded = time.perf_counter() - began
            page.evaluate(SHOWN)
            shown = time.perf_counter() - began
            print(f"loaded after {loaded:.2f} s, a page shown after {shown:.2f} s")
            browser.close()


if __name__ == "__main__":
    measure()
