"""The API: what it gives is what `Detector` and `lmv3det predict` give."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hand_made_pdf import words, write_pdf
from live_server import FORM, form
from PIL import Image

from lmv3det.inference.detections import PageDetections
from lmv3det.inference.job import predict_files
from lmv3det.ledger import LEDGER
from lmv3det.serve.schema import Options
from lmv3det.serve.work import _entry
from lmv3det.structures import Page, Sample
from lmv3det.text.ocr_json import OcrPage

ARCHIVES = ("coco", "markdown", "html", "cvat", "labelme", "label-studio")


@pytest.fixture
def pdf(tmp_path):
    texts = [words(40, 350, "one two three"), words(40, 350, "four five six")]
    return write_pdf(tmp_path / "paper.pdf", *texts)


def expected(detector, path, document_score=0.3) -> list:
    return [page.to_dict(document_score=document_score) for page in detector.predict(path)]


def test_the_regions_of_an_image(live, detector, png):
    answer = live.detect(png, name="scan.png")
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    (wanted,) = expected(detector, png)
    assert wanted["detections"], "the test would show nothing"
    assert answer.json() == {"file": "scan.png", "pages": [{**wanted, "file": "scan.png"}]}
    # The body itself, without a form.
    raw = live.ask("POST", "/v1/detect", png.read_bytes(), Content_Type="image/png")
    assert raw.json()["pages"][0]["detections"] == wanted["detections"]
    assert raw.json()["file"] == "upload"


def test_a_pdf_brings_its_text(live, detector, pdf):
    """Named as an image: what a file is, its content says."""
    answer = live.detect(pdf, "document_score=0&text_lines=true", name="paper.png")
    pages = answer.json()["pages"]
    wanted = expected(detector, pdf, 0.0)
    assert [page["text_lines"][0]["text"] for page in pages] == ["one two three", "four five six"]
    x, y, width, height = pages[0]["text_lines"][0]["bbox"]
    # 40 points from the left, its base line 350 of 400 points from the foot, at 144 dpi.
    assert abs(x - 80) < 3 and y < 100 < y + height + 5 and 100 < width < 200
    assert [page["detections"] for page in pages] == [page["detections"] for page in wanted]


def test_a_region_has_its_text():
    """Two regions; the first holds both lines, of which the first ends in a divided word."""
    found = PageDetections(
        torch.tensor([[10.0, 10.0, 90.0, 60.0], [10.0, 100.0, 90.0, 150.0]]),
        torch.tensor([0.9, 0.6]),
        torch.tensor([0, 1]),
        (200, 100),
        None,
        ["Text", "Figure"],
        Page("a.pdf", 100, 200),
        OcrPage(
            np.array([[12.0, 12, 88, 22], [12, 30, 50, 40]]), ["Two di-", "vided words"], 100, 200
        ),
    )
    sample = Sample(np.zeros((200, 100, 3), np.uint8), Page("a.pdf", 100, 200))
    first, second = _entry(found, sample, Options(), Path("."))["detections"]
    assert first["text"] == "Two divided words" and first["lines"] == ["Two di-", "vided words"]
    assert first["bbox"] == [10, 10, 80, 50] and (first["order"], second["order"]) == (0, 1)
    assert "text" not in second
    entry = _entry(found, sample, Options(score=0.7, text_lines=True), Path("."))
    assert [region["category"] for region in entry["detections"]] == ["Text"]
    assert entry["text_lines"] == [
        {"bbox": [12, 12, 76, 10], "text": "Two di-"},
        {"bbox": [12, 30, 38, 10], "text": "vided words"},
    ]


def test_score(live, detector, png):
    (wanted,) = expected(detector, png)
    scores = sorted(region["score"] for region in wanted["detections"])
    middle = scores[len(scores) // 2]  # rounded to 4 digits
    found = live.detect(png, f"score={middle + 0.00005}").json()["pages"][0]["detections"]
    assert [r["score"] for r in found] == sorted((s for s in scores if s > middle), reverse=True)


def test_lines_as_pages_are_done(live, pdf):
    answer = live.detect(pdf, "format=jsonl&picture=true", name="a.pdf")
    assert answer.headers["content-type"] == "application/x-ndjson"
    head, *pages = map(json.loads, answer.body.splitlines())
    assert head == {"file": "a.pdf", "pages": 2} and [page["page"] for page in pages] == [1, 2]
    kind, _, content = pages[0]["picture"].partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        assert picture.size == (pages[0]["width"], pages[0]["height"]) == (600, 800)


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_has_what_predict_writes(live, detector, pdf, tmp_path, name):
    """The same files with the same content, but for names that come from the client's."""
    answer = live.detect(pdf, f"format={name}&archive=true&document_score=0.1", name="paper.pdf")
    assert answer.headers["content-type"] == "application/zip", answer.body
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        packed = {entry: archive.read(entry) for entry in archive.namelist()}
    out = tmp_path / "out"
    predict_files(detector, [pdf], out, formats=[name], drawings=False, draw_score=0.1)

    def ours(text: str) -> str:
        return text.replace("paper_p", "page_").replace("paper", "document")

    wanted = {
        ours(str(path.relative_to(out))): path
        for path in out.rglob("*")
        if path.is_file() and path.name not in ("detections.json", LEDGER)
    }
    assert packed.keys() == wanted.keys()
    for entry, path in wanted.items():
        if path.suffix == ".png":
            assert packed[entry] == path.read_bytes()
        else:
            content = ours(path.read_text().replace(str(pdf), "document"))
            assert packed[entry].decode() == content


@pytest.mark.parametrize(
    ("name", "media_type", "file"),
    [
        ("coco", "application/json", "my page.coco.json"),
        ("markdown", "text/markdown; charset=utf-8", "my page.md"),
        ("html", "text/html; charset=utf-8", "my page.html"),
        ("cvat", "application/xml", "my page.xml"),
    ],
)
def test_a_format_as_one_file(live, pdf, name, media_type, file):
    query = f"format={name}&document_score=0"
    answer = live.detect(pdf, query, name="my page.pdf")
    assert answer.status == 200 and answer.headers["content-type"] == media_type
    assert f'attachment; filename="{file}"' in answer.headers["content-disposition"]
    if name == "coco":
        content = answer.json()
        assert [image["file_name"] for image in content["images"]] == [
            "my page_p1.png",
            "my page_p2.png",
        ]
        assert content["categories"] == [{"id": 1, "name": "Table"}, {"id": 2, "name": "Text"}]
        assert content["annotations"]


def page_of(*regions: dict, **fields) -> dict:
    return {"page": 1, "width": 100, "height": 200, "detections": list(regions), **fields}


def region(category: str, **fields) -> dict:
    return {"bbox": [1, 2, 30, 40], "score": 0.9, "category": category, "order": 0, **fields}


def convert(live, content, query=""):
    return live.ask("POST", f"/v1/convert?{query}", json.dumps(content).encode())


def test_convert(live, png):
    """What was found before, with a class that the model does not have."""
    found = live.detect(png, "document_score=0").json()
    assert convert(live, found, "format=coco").json() == (
        live.detect(png, "format=coco&document_score=0").json()
    )
    picture = "data:image/png;base64,AAAA"
    page = page_of(
        region("Section title", lines=["A & B"]),
        region("Figure", picture=picture, order=1),
    )
    markdown = convert(live, {"pages": [page]}).body.decode()
    assert markdown == f"<!-- page 1 -->\n\n# A & B\n\n![Figure]({picture})\n"
    html = convert(live, {"pages": [page], "file": "a.png"}, "format=html")
    assert f'<img src="{picture}" alt="Figure">' in html.body.decode()
    assert 'filename="a.html"' in html.headers["content-disposition"]


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({}, "pages"),
        ({"pages": []}, "pages"),
        ({"pages": [page_of(region("A", picture="javascript:alert(1)"))]}, "picture"),
        ({"pages": [page_of(region("A", picture='data:image/png;base64,"><b>'))]}, "picture"),
        ({"pages": [page_of(region("A", score=2))]}, "score"),
        ({"pages": [page_of({**region("A"), "bbox": [1, 2, 3]})]}, "bbox"),
        ({"pages": [page_of({**region("A"), "bbox": [1, 2, 3, 1e300]})]}, "bbox"),
        ({"pages": [page_of(region("A", order="0"))]}, "order"),
        ({"pages": [page_of({**region("A"), "bbox": ["1", 2, 3, 4]})]}, "bbox"),
        ([], ""),
    ],
)
def test_what_cannot_be_converted(live, content, where):
    answer = convert(live, content)
    assert answer.status == 422 and where in answer.json()["error"]


def test_converted_text_is_text(live):
    page = page_of(region("<script>", lines=["<script>alert(1)</script>"]))
    html = convert(live, {"pages": [page], "file": "<b>.png"}, "format=html").body.decode()
    assert "<script>" not in html and "&lt;script&gt;alert(1)" in html


def test_health_model_and_metrics(live, png):
    assert live.get("/v1/health").json() == {
        "status": "ok", "requests": 0, "places": 6, "uploads": 0, "oldest_seconds": 0
    }  # fmt: skip
    model = live.get("/v1/model").json()
    assert [c["name"] for c in model["classes"]] == ["Table", "Text"]
    assert [c["picture"] for c in model["classes"]] == [True, False]
    assert model["max_file_bytes"] == 200_000 and model["reads_text"]
    before = live.metric("requests_total", path="/v1/detect", status="200")
    pages = live.metric("pages_total")
    live.detect(png)
    text = live.get("/metrics").body.decode()
    line = 'lmv3det_requests_total{path="/v1/detect",status="200"} '
    assert float(text.split(line)[1].split()[0]) == before + 1
    assert live.metric("pages_total") == pages + 1


def test_openapi_and_its_page(live):
    """The page needs no network and no script, and explains every path and value."""
    api = live.get("/openapi.json").json()
    assert set(api["paths"]) == {"/v1/detect", "/v1/convert", "/v1/model", "/v1/health"}
    page = live.get("/docs").body.decode()
    assert "<script" not in page and not re.search(r'(src|href)="(?!/|#)', page)
    assert f"http://127.0.0.1:{live.port}/v1/detect" in page
    for path, methods in api["paths"].items():
        assert path in page
        for operation in methods.values():
            for parameter in operation.get("parameters", []):
                assert f"<code>{parameter['name']}</code>" in page
    references = re.findall(r'"\$ref": "([^"]*)"', json.dumps(api))
    assert "#/components/schemas/Shown" in references
    for reference in references:  # each leads somewhere in this file
        found = api
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert isinstance(found, dict) and found
    body = api["paths"]["/v1/detect"]["post"]["requestBody"]["content"]
    for content in body.values():  # an empty file is none
        schema = content["schema"]
        assert schema.get("properties", {}).get("file", schema)["minLength"] == 1
    assert body["multipart/form-data"]["schema"]["required"] == ["file"]


def test_every_answer_has_the_headers(live):
    for path in ("/", "/page.js", "/docs", "/v1/model", "/v1/nothing", "/metrics"):
        headers = live.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_a_password(live, tmp_path):
    path = write_pdf(tmp_path / "a.pdf", words(40, 350, "one two three"), password="secret")
    assert live.detect(path).json() == {"error": "Encrypted; give its password."}
    for password, status in (("wrong", 422), ("secret", 200)):
        fields = ("password", None, password.encode()), ("file", "a.pdf", path.read_bytes())
        query = "/v1/detect?text_lines=true"
        answer = live.ask("POST", query, form(*fields), Content_Type=FORM)
        assert answer.status == status, answer.body
    assert answer.json()["pages"][0]["text_lines"][0]["text"] == "one two three"
