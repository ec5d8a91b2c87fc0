"""Fuzz targets: annotations, results, OCR files, images, PDF, text corpora."""

from __future__ import annotations

import io
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from lmv3det.data import index_cache
from lmv3det.data.check import check_dataset, class_counts
from lmv3det.data.coco import CocoDataset
from lmv3det.data.images import (
    count_pages,
    iter_pages,
    read_image,
    read_orientation,
    read_size,
    turn_back,
)
from lmv3det.evaluation.analysis import analyse
from lmv3det.evaluation.coco import score
from lmv3det.evaluation.report import write_report
from lmv3det.evaluation.results import read_results
from lmv3det.ocr.pdf_text import PdfText
from lmv3det.text.ocr_json import read_ocr, write_ocr
from lmv3det.text.reading_order import reading_order, text_direction
from pagegen.text import Corpus
from pagegen.typst.blocks import markup
from pagegen.typst.typeset import new_prose
from tests.fuzz.mutations import (
    json_bytes,
    mutate_bytes,
    mutate_digits,
    mutate_png,
    mutate_text,
)
from tests.fuzz.target import Target
from tests.hand_made_pdf import words, write_pdf

OCR = {
    "bbox": [[2, 3, 20, 4], [5, 10, 10, 5], [[1, 20], [30, 21], [30, 28], [1, 27]]],
    "words": ["first line", "第二 line", "3.1"],
    "W": 40,
    "H": 60,
}


def small_pages(folder: Path) -> dict[str, Any]:
    """Three pages in `images/` and `OCR/` of a folder, one of them with an EXIF rotation; their
    annotations, with polygons, a run-length mask and a crowd."""
    (folder / "images/sub").mkdir(parents=True)
    (folder / "OCR").mkdir()
    generator = np.random.default_rng(0)
    images = []
    for key, (name, height, width) in enumerate(
        (("a.png", 60, 40), ("sub/b.jpg", 50, 40), ("c.png", 30, 50)), start=10
    ):
        picture = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
        exif = Image.Exif()
        exif[274] = 6 if name.endswith("jpg") else 1
        picture.save(folder / "images" / name, exif=exif)
        images.append({"id": key, "file_name": name, "width": width, "height": height})
        text = json.dumps({**OCR, "W": width, "H": height, "bbox": [[1, 1, 9, 9]] * 3})
        (folder / "OCR" / f"{Path(name).stem}.json").write_text(text)

    def region(key: int, image: int, category: int, box: list, segmentation: Any, crowd: int = 0):
        return {"id": key, "image_id": image, "category_id": category, "bbox": box,
                "area": box[2] * box[3], "iscrowd": crowd,
                "segmentation": segmentation}  # fmt: skip

    annotations = [
        region(1, 10, 7, [4, 5, 20, 10], [[4, 5, 24, 5, 24, 15, 4, 15]]),
        region(2, 10, 3, [1, 30, 30, 20], [[1, 30, 31, 30, 1, 50], [2, 2, 8, 2, 2, 8]]),
        region(3, 10, 3, [0, 0, 40, 5], {"size": [60, 40], "counts": [0, 5, 2395]}, 1),
        region(4, 12, 7, [10, 5, 25, 15], {"size": [30, 50], "counts": [300, 90, 1110]}),
        region(5, 12, 7, [10, 5, 25, 15], {"size": [30, 50], "counts": "PS12N3O2N1"}),
        {"id": 6, "image_id": 11, "category_id": 3, "bbox": [3.5, 4.5, 10, 20]},
    ]
    categories = [{"id": 7, "name": "Text"}, {"id": 3, "name": "Table"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def _prepare_pages(folder: Path) -> tuple[Path, dict[str, Any]]:
    return folder, small_pages(folder)


def _write_coco(rng: Random, seeds: Any, folder: Path) -> None:
    (folder / "annotations.json").write_bytes(json_bytes(rng, seeds[1]))


def _read_coco(rng: Random, seeds: Any, folder: Path) -> object:
    dataset = CocoDataset(
        folder / "annotations.json", seeds[0] / "images", seeds[0] / "OCR", with_text=True,
        missing_ocr="empty", malformed_ocr="skip", strict=rng.random() < 0.1,
    )  # fmt: skip
    for number in range(len(dataset)):
        sample = dataset[number]
        assert np.isfinite(sample.boxes).all() and len(sample.boxes) == len(sample.classes)
    class_counts(dataset)
    found = check_dataset(dataset).summary()
    assert "\n" not in found, found
    return score(dataset, [], ["bbox"])


def _write_index(rng: Random, seeds: Any, folder: Path) -> None:
    """A cached index that is cut off or whose header is damaged, or the note of its name."""
    (folder / "annotations.json").write_text(json.dumps(seeds[1]))
    _open_cached(folder, seeds)
    (index,) = (folder / "cache").glob("*.index")
    (note,) = (folder / "cache").glob("*.json")
    data = index.read_bytes()
    place = int.from_bytes(data[17:25], "little")  # of the header, behind the arrays
    kind = rng.randrange(4)
    if kind == 0:
        note.write_bytes(json_bytes(rng, json.loads(note.read_bytes())))
    elif kind == 1:
        index.write_bytes(data[: rng.randrange(len(data))])
    elif kind == 2:
        index.write_bytes(mutate_bytes(rng, data[:40]) + data[40:])
    else:
        index.write_bytes(data[:place] + mutate_bytes(rng, data[place:]))


def _open_cached(folder: Path, seeds: Any) -> CocoDataset:
    before, index_cache._LARGE = index_cache._LARGE, 0
    cache, index_cache.cache_folder = index_cache.cache_folder, lambda: folder / "cache"
    try:
        return CocoDataset(folder / "annotations.json", seeds[0] / "images")
    finally:
        index_cache._LARGE, index_cache.cache_folder = before, cache


def _read_index(rng: Random, seeds: Any, folder: Path) -> object:
    dataset = _open_cached(folder, seeds)
    return [dataset[number] for number in range(len(dataset))]


def _prepare_results(folder: Path) -> tuple[Path, list, CocoDataset]:
    content = small_pages(folder)
    (folder / "annotations.json").write_text(json.dumps(content))
    results = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "bbox": a["bbox"], "score": s}
        for a, s in zip(content["annotations"], (0.9, 0.8, 0.7, 0.5, 0.5, 0.1), strict=True)
    ]
    return folder, results, CocoDataset(folder / "annotations.json", folder / "images", quiet=True)


def _write_results(rng: Random, seeds: Any, folder: Path) -> None:
    (folder / "results.json").write_bytes(json_bytes(rng, seeds[1]))


def _read_results(rng: Random, seeds: Any, folder: Path) -> object:
    dataset = seeds[2]
    results = read_results(folder / "results.json", dataset)
    run = analyse(dataset, results, score(dataset, results, ["bbox"]), None, "fuzz")
    return write_report(folder / "report.html", dataset, [run], title="fuzz", pages=3)


def _write_ocr(rng: Random, seeds: Any, folder: Path) -> None:
    (folder / "page.json").write_bytes(json_bytes(rng, OCR))


def _read_ocr(rng: Random, seeds: Any, folder: Path) -> object:
    page = read_ocr(folder / "page.json", malformed=rng.choice(("error", "skip")))
    if page.width and page.height:
        reading_order(page.boxes, page.width)
        tokens = seeds(page.lines, page.boxes, (page.height, page.width))
        assert (tokens.boxes >= 0).all() and (tokens.boxes <= 1000).all()
        write_ocr(folder / "again.json", page)
        assert read_ocr(folder / "again.json").lines == page.lines
    return page


def _prepare_ocr(folder: Path) -> Any:
    from lmv3det.inference.default_model import default_model_folder
    from lmv3det.text.tokenization import PageTokenizer

    return PageTokenizer(default_model_folder() / "tokenizer", selection="all")


def _prepare_images(folder: Path) -> list[tuple[str, bytes]]:
    generator = np.random.default_rng(0)
    colour = Image.fromarray(generator.integers(0, 256, (20, 24, 3), dtype=np.uint8))
    deep = Image.fromarray(generator.integers(0, 65536, (9, 7), dtype=np.uint16))
    exif = Image.Exif()
    exif[274] = 8
    made: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("png", colour, {}), ("png", colour.convert("P"), {}), ("png", colour.convert("RGBA"), {}),
        ("png", deep, {}), ("jpeg", colour, {"exif": exif}), ("jpeg", colour.convert("CMYK"), {}),
        ("tiff", colour, {}), ("tiff", deep, {"compression": "tiff_lzw"}),
        ("tiff", colour, {"save_all": True, "append_images": [colour, colour]}),
        ("tiff", colour.convert("1"), {"compression": "group4"}),
        ("gif", colour, {}), ("bmp", colour, {}), ("webp", colour, {}), ("ppm", colour, {}),
        ("jpeg2000", colour, {}), ("webp", colour, {"exif": exif}),
    ]  # fmt: skip
    found = []
    for kind, picture, options in made:
        stream = io.BytesIO()
        picture.save(stream, kind, **options)
        found.append((kind, stream.getvalue()))
    return found


def _write_image(rng: Random, seeds: Any, folder: Path) -> None:
    kind, data = rng.choice(seeds)
    if kind == "png" and rng.random() < 0.7:
        data = mutate_png(rng, data)
    elif kind == "ppm" and rng.random() < 0.5:
        data = mutate_digits(rng, data[:12]) + data[12:]
    else:
        data = mutate_bytes(rng, data)
        if rng.random() < 0.05:
            data = data[: len(data) // 2] + rng.choice(seeds)[1]
    name = rng.choice(("page.png", "page.jpg", "page.tif", "page"))
    (folder / name).write_bytes(data)


def _read_image(rng: Random, seeds: Any, folder: Path) -> object:
    (path,) = folder.iterdir()
    size = read_size(path)
    turn_back(np.array([[0.0, 0, 4, 5]]), size, read_orientation(path))
    count_pages(path)
    pages = list(iter_pages(path))
    assert all(array.dtype == np.uint8 and array.shape[2] == 3 for _, array in pages)
    return read_image(path)


def _prepare_pdf(folder: Path) -> list[bytes]:
    text = words(20, 300, "A title", 20) + words(20, 250, "and a line of text")
    drawn = "q 50 0 0 50 10 10 cm 1 0 0 rg 0 0 1 1 re f Q\n" + text
    found = [
        write_pdf(folder / "a.pdf", text),
        write_pdf(folder / "b.pdf", drawn, text, "", rotate=90),
        write_pdf(folder / "c.pdf", text, box="-10 -10 100 200"),
        write_pdf(folder / "d.pdf", text, password="secret"),
    ]
    return [path.read_bytes() for path in found]


def _write_pdf(rng: Random, seeds: Any, folder: Path) -> None:
    data = rng.choice(seeds)
    kind = rng.randrange(4)
    if kind < 2:
        data = mutate_digits(rng, data)
    if kind == 2:
        data = mutate_text(rng, data.decode("latin-1")).encode("latin-1", "replace")
    if kind in (1, 3):
        data = mutate_bytes(rng, data)
    (folder / "page.pdf").write_bytes(data)


def _read_pdf(rng: Random, seeds: Any, folder: Path) -> object:
    path, password = folder / "page.pdf", rng.choice((None, "secret", "wrong", ""))
    count = count_pages(path, password)
    numbers = range(min(count, 3))
    for _, array in iter_pages(path, 36, numbers=numbers, password=password):
        assert array.dtype == np.uint8 and array.ndim == 3
    return [PdfText().read_pdf(path, number, 36, password) for number in numbers]


_CASES = Path(__file__).parents[1] / "cases"
_KINDS = ("rotated_page", "sideways_text", "right_to_left", "vertical_writing", "divided_words",
          "double_struck", "form_fields", "garbled_layer", "hidden_layer", "hidden_text",
          "odd_unicode", "font_not_embedded")  # fmt: skip


def _prepare_pdf_pages(folder: Path) -> list[bytes]:
    """Pages of every direction, with layers, forms and hidden text."""
    return [path.read_bytes() for kind in _KINDS for path in sorted((_CASES / kind).glob("*.pdf"))]


def _write_pdf_pages(rng: Random, seeds: Any, folder: Path) -> None:
    if rng.random() < 0.4:
        data = _drawn_page(rng, folder)
    else:
        data = rng.choice(seeds)
    kind = rng.randrange(4)
    if kind == 0:
        data = mutate_digits(rng, data)
    elif kind == 1:
        data = mutate_bytes(rng, data)
    elif kind == 2:
        for _ in range(rng.randint(1, 6)):
            old, new = rng.choice(_SWAPS)
            data = data.replace(old, new, rng.choice((1, 1, -1)))
    (folder / rng.choice(("page.pdf", "download"))).write_bytes(data)


_SWAPS = (
    (b"/MediaBox", b"/Rotate 90 /MediaBox"), (b"/MediaBox", b"/Rotate -270 /MediaBox"),
    (b"/MediaBox", b"/UserUnit 7 /MediaBox"), (b"/MediaBox", b"/CropBox [9 9 90 80] /MediaBox"),
    (b"/OFF [", b"/ON ["), (b"/ON [", b"/OFF ["), (b" 0 R", b" 1 0 R"), (b" Tf", b" Tf 3 Tr"),
    (b" Tf", b" Tf 7 Tr"), (b" Td", b" Td 300 Tz"), (b"/FT /Tx", b"/FT /Ch"),
    (b"BT", b"q 0 0 m W n BT"), (b"/V (", b"/V /Off /X ("), (b"/AP <<", b"/AQ <<"),
    (b"/F 4", b"/F 2"), (b"/Helvetica", b"/Nowhere"),
    (b" Tj", b" Tj 1e9 0 Td"), (b"BT", b"BT 0 0 0 0 0 0 Tm"), (b"/Type1", b"/Type3"),
    (b"/Type1", b"/TrueType"), (b"1 g", b"/P cs /P scn"),
    (b"/Subtype /Widget", b"/Subtype /FreeText"),
)  # fmt: skip


def _drawn_page(rng: Random, folder: Path) -> bytes:
    """A page of lines, boxes and clips anywhere, turned and coloured anyhow."""
    parts = []
    for _ in range(rng.randint(1, 12)):
        a, b, c, d = (rng.choice((0, 1, -1, 0.7, -0.3, rng.uniform(-3, 3))) for _ in range(4))
        x, y = rng.uniform(-50, 350), rng.uniform(-50, 450)
        text = "".join(
            rng.choice("ab llii..--()12 \\\377\001\255") for _ in range(rng.randint(1, 30))
        )
        text = text.replace("(", "").replace(")", "").replace("\\", "")
        size = rng.choice((0, 0.1, 1, 8, 12, 60, 1e6))
        colour = rng.choice(("0 g", "1 g", "1 0 0 rg", "0.98 g", "0 0 0 1 k"))
        parts.append(
            rng.choice(("", "q 10 10 80 300 re W n ", f"{colour} {x:.0f} {y:.0f} 90 40 re f "))
            + f"{colour} BT {rng.choice((0, 1, 2, 3, 7))} Tr /F {size} Tf "
            f"{a} {b} {c} {d} {x:.1f} {y:.1f} Tm ({text}) Tj ET\n"
        )
    parts += rng.choices(parts, k=rng.choice((0, 0, 2)))
    path = write_pdf(
        folder / "drawn.pdf",
        "".join(parts),
        rotate=rng.choice((0, 90, 180, 270, -90, 45, 10**9)),
        box=rng.choice(("0 0 300 400", "-10 20 290.5 410.7", "300 400 0 0", "0 0 3 40000")),
    )
    data = path.read_bytes()
    path.unlink()
    return data


def _read_pdf_pages(rng: Random, seeds: Any, folder: Path) -> object:
    (path,) = folder.iterdir()
    count = count_pages(path)
    results = []
    for number in range(min(count, 2)):
        page, why = PdfText().read_layer(path, number, 36)
        boxes = page.boxes
        assert len(boxes) == len(page.lines) and isinstance(why, str)
        assert np.isfinite(boxes).all() and (boxes >= 0).all()
        assert (boxes[:, 2:] <= (page.width, page.height)).all()
        for line in page.lines:
            line.encode()
        direction = text_direction(page.lines, boxes)
        order = reading_order(boxes, page.width, direction=direction)
        assert sorted(order.tolist()) == list(range(len(boxes)))
        for _, array in iter_pages(path, 36, numbers=[number]):
            assert (page.height, page.width) == array.shape[:2]
        results.append(page)
    return results


def _prepare_corpus(folder: Path) -> str:
    english = "A paragraph of some length, with $math$ and #code and [brackets] in it. " * 3
    return "\n".join([english, "一个段落，有一些长度，里面有中文。" * 4, english[:90], "short"] * 3)


def _write_corpus(rng: Random, seeds: Any, folder: Path) -> None:
    text = seeds
    if rng.random() < 0.7:
        text = mutate_text(rng, mutate_text(rng, text))
    if rng.random() < 0.3:
        odd = "".join(chr(rng.randrange(0x11000)) for _ in range(300))
        text = text.replace("math", rng.choice((odd, "\x01x\x02", '")]} #read("/etc/passwd")')))
    data = text.encode("utf-8", "surrogatepass" if rng.random() < 0.1 else "replace")
    if rng.random() < 0.3:
        data = mutate_bytes(rng, data)
    (folder / "corpus.txt").write_bytes(data)


def _read_corpus(rng: Random, seeds: Any, folder: Path) -> object:
    language = rng.choice(("en", "zh", "mixed"))
    corpus = Corpus.read(folder / "corpus.txt", language)
    own = rng.choice(("en", "zh")) if language == "mixed" else language
    prose = new_prose(rng, own, corpus)
    text = "\n\n".join(markup(prose.paragraph(length)) for length in (40, 400, 3000))
    if rng.random() < 0.2:
        import typst

        page = b"#set page(width: 200pt, height: auto)\n" + text.encode()
        assert typst.compile(page, root=folder, ignore_system_fonts=True, pdf_tags=False)
    return text


TARGETS = (
    Target("coco", _prepare_pages, _write_coco, _read_coco),
    Target("index", _prepare_pages, _write_index, _read_index),
    Target("results", _prepare_results, _write_results, _read_results),
    Target("ocr", _prepare_ocr, _write_ocr, _read_ocr),
    Target("image", _prepare_images, _write_image, _read_image),
    Target("pdf", _prepare_pdf, _write_pdf, _read_pdf),
    Target("pdf-pages", _prepare_pdf_pages, _write_pdf_pages, _read_pdf_pages),
    Target("corpus", _prepare_corpus, _write_corpus, _read_corpus),
)
