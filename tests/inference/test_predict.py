"""Prediction: every kind of page, page pixels, batches, text, files, failures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from tiny_detector import tiny_checkpoint, tiny_config

import lmv3det
from lmv3det.cli import main
from lmv3det.cli.predict_options import read_score
from lmv3det.config import Config
from lmv3det.data.images import iter_pages
from lmv3det.data.limits import MAX_PIXELS
from lmv3det.errors import InputError
from lmv3det.inference.detector import Detector
from lmv3det.inference.options import PredictOptions
from lmv3det.inference.samples import make_sample
from lmv3det.ledger import LEDGER
from lmv3det.model.mask_head import paste
from lmv3det.ocr import Engine
from lmv3det.structures import Detections, Page
from lmv3det.text.ocr_json import OcrPage, write_ocr
from lmv3det.text.tokenization import PageTokenizer
from lmv3det.text.train_tokenizer import train_tokenizer


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("image_only") / "model.pth")


@pytest.fixture(scope="session")
def text_checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    train_tokenizer(["one two three", "four five six"] * 20, folder / "tokenizer", 300, "bpe")
    encoder = PageTokenizer(folder / "tokenizer")
    config: Config = tiny_config(
        text={"selection": "first"},
        fusion={"kind": "additive"},
        backbone={"vocab_size": encoder.vocab_size, "pad_token_id": encoder.pad_token_id},
    )
    files = encoder.files()
    for path in (folder / "tokenizer").iterdir():
        path.unlink()  # the checkpoint carries it
    return tiny_checkpoint(folder / "model.pth", config, tokenizer_files=files)


@pytest.fixture(scope="session")
def detector(checkpoint) -> Detector:
    return Detector.load(checkpoint, device="cpu")


@pytest.fixture
def text_detector(text_checkpoint) -> Detector:
    return Detector.load(text_checkpoint, device="cpu")


def page_image(seed: int = 0, width: int = 60, height: int = 80) -> Image.Image:
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(8):
        x, y = generator.integers(0, [width, height])
        color = tuple(generator.integers(0, 256, 3).tolist())
        draw.rectangle((x, y, x + 15, y + 8), fill=color)
    return image


@pytest.fixture
def pages(tmp_path) -> Path:
    """A folder with two images of one size, and a wider one."""
    folder = tmp_path / "pages"
    folder.mkdir()
    for number, size in enumerate([(60, 80), (60, 80), (90, 50)], start=1):
        page_image(number, *size).save(folder / f"scan{number}.png")
    return folder


@pytest.fixture
def pdf(tmp_path) -> Path:
    first, second = page_image(4, 120, 160), page_image(5, 200, 150)
    first.save(tmp_path / "paper.pdf", save_all=True, append_images=[second], resolution=72)
    return tmp_path / "paper.pdf"


def same(one: Detections, two: Detections, exact: bool = True) -> bool:
    assert len(one) == len(two) > 0
    tolerance = {"rtol": 0.0, "atol": 0.0} if exact else {"rtol": 1e-4, "atol": 1e-3}
    return (
        one.image_size == two.image_size
        and torch.equal(one.classes, two.classes)
        and torch.allclose(one.boxes, two.boxes, **tolerance)
        and torch.allclose(one.scores, two.scores, **tolerance)
    )


def test_every_kind_of_page_gives_the_same(detector, pages):
    path = pages / "scan1.png"
    array = np.asarray(Image.open(path))
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    kinds = [path, str(path), Image.open(path), array, tensor, tensor.float() / 255]
    expected = detector.predict(path)
    assert len(expected) == 1
    assert expected[0].image_size == (80, 60)
    assert expected[0].names == ["Table", "Text"]
    assert expected[0].page == Page(str(path), 60, 80)
    assert expected[0].masks.shape == (len(expected[0]), 28, 28)
    for kind in kinds:
        assert same(detector.predict(kind)[0], expected[0])
    together = detector.predict(kinds)
    assert len(together) == len(kinds) and all(same(found, expected[0]) for found in together)
    assert paste(expected[0].masks, expected[0].boxes, expected[0].image_size).shape[1:] == (80, 60)


def test_a_pdf_gives_what_its_pages_give(detector, pdf, tmp_path):
    found = detector.predict(pdf)
    assert [(d.page.number, d.page.width, d.page.height) for d in found] == [
        (0, 240, 320), (1, 400, 300),
    ]  # fmt: skip
    for number, image in iter_pages(pdf):
        Image.fromarray(image).save(tmp_path / "page.png")
        assert same(detector.predict(tmp_path / "page.png")[0], found[number])


def test_folder_in_natural_order(detector, pages):
    (pages / "scan3.png").rename(pages / "scan10.png")
    found = detector.predict(pages)
    assert [Path(d.page.file).name for d in found] == ["scan1.png", "scan2.png", "scan10.png"]


def test_boxes_are_in_pixels_of_the_page(checkpoint, monkeypatch):
    """A region that fills a known part of the page, whatever the network's input size is."""
    detector = Detector.load(checkpoint, device="cpu")

    def predict(batch, score_threshold, with_masks):
        height, width = batch.image_sizes[0]
        assert (height, width) == (96, 32)  # 64 at the short side would make the long side 192
        boxes = torch.tensor([[width / 4, height / 3, width / 2, height + 5.0]])
        return [Detections(boxes, torch.ones(1), torch.ones(1).long(), (height, width))]

    monkeypatch.setattr(detector.model, "predict", predict)
    found = detector.predict(np.full((300, 100, 3), 255, np.uint8))[0]
    assert found.boxes.tolist() == [pytest.approx([25, 100, 50, 300])]
    assert found.image_size == (300, 100)


def test_batches_change_nothing_and_hold_few_pages(detector, pages):
    paths = [pages / name for name in ("scan1.png", "scan2.png", "scan3.png", "scan1.png")]
    alone = [detector.predict(path)[0] for path in paths]
    for size in (1, 2, 3):
        together = detector.predict(paths, batch_size=size)
        assert [d.page.file for d in together] == [str(path) for path in paths]
        for one, two in zip(alone, together, strict=True):
            assert same(one, two, exact=size == 1)
    taken = []

    def samples():
        for number in range(6):
            taken.append(number)
            image = np.asarray(page_image(number))
            yield make_sample(image, Page("", 60, 80), 1, None)

    for number, _ in enumerate(detector.stream(samples(), PredictOptions(batch_size=2))):
        assert len(taken) <= number + 2
    assert len(taken) == 6


def test_score_threshold(detector, pages):
    page = pages / "scan1.png"
    usual = detector.predict(page)[0]
    middle = float(usual.scores.median())
    few = detector.predict(page, score_threshold=middle)[0]
    assert 0 < len(few) < len(usual) and few.scores.min() > middle
    assert len(detector.predict(page, score_threshold=0.0)[0]) >= len(usual)
    assert len(detector.predict(page, score_threshold=1.0)[0]) == 0
    assert same(detector.predict(page)[0], usual)  # nothing stays behind


def test_odd_pages(detector):
    white, line = Image.new("RGB", (50, 70), "white"), np.zeros((3, 900), np.uint8)
    dot = np.zeros((1, 1, 3), np.uint8)
    large = np.full((2000, 1500), 255, np.uint8)
    for page, found in zip(
        (white, line, dot, large), detector.predict([white, line, dot, large]), strict=True
    ):
        height, width = np.asarray(page).shape[:2]
        assert found.image_size == (height, width)
        limit = torch.tensor([width, height, width, height])
        assert ((found.boxes >= 0) & (found.boxes <= limit)).all()
        assert found.scores.isfinite().all()


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"hello", "text.png", "not an image"),
        (b"", "empty.jpg", "empty"),
        (b"%PDF-1.4 broken", "broken.pdf", "cannot be read"),
    ],
)
def test_files_that_are_no_pages(detector, tmp_path, content, name, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}.*{message}"):
        detector.predict([np.zeros((9, 9, 3), np.uint8), tmp_path / name])


def test_inputs_of_the_wrong_kind(detector, tmp_path):
    with pytest.raises(InputError, match=r"none\.png: no such file"):
        detector.predict(tmp_path / "none.png")
    with pytest.raises(InputError, match="cannot be a int"):
        detector.predict([3])
    with pytest.raises(InputError, match="0 to 1"):
        detector.predict(np.full((9, 9, 3), 255.0))
    assert detector.predict([]) == []


def test_what_load_refuses(tmp_path, checkpoint):
    with pytest.raises(InputError, match="no such checkpoint"):
        Detector.load(tmp_path / "none.pth")
    torch.save({"model": {}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="not a checkpoint of lmv3det"):
        Detector.load(tmp_path / "other.pth")
    (tmp_path / "cut.pth").write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cut\.pth"):
        Detector.load(tmp_path / "cut.pth")
    with pytest.raises(InputError, match="warp"):
        Detector.load(checkpoint, device="warp")


def test_load_from_a_folder(checkpoint, detector, tmp_path):
    from lmv3det.checkpoint.folder import save_pretrained

    save_pretrained(lmv3det.load_checkpoint(checkpoint), tmp_path / "folder")
    again = lmv3det.Detector.load(tmp_path / "folder", device="cpu")
    assert same(again.predict(page_image())[0], detector.predict(page_image())[0])


# Text


class OneLine(Engine):
    """Reads the same word at the same place of every page."""

    def __init__(self, word: str = "one") -> None:
        self.word, self.sizes = word, []

    def recognize(self, image):
        height, width = image.shape[:2]
        self.sizes.append((height, width))
        return OcrPage(np.array([[5.0, 5, 50, 20]]), [self.word], width, height)


def line(width: int = 60, height: int = 80, scale: int = 1, word: str = "one") -> OcrPage:
    return OcrPage(np.array([[5.0, 5, 50, 20]]) * scale, [word], width * scale, height * scale)


def test_text_from_everywhere(text_detector, tmp_path, monkeypatch):
    image = page_image()
    image.save(tmp_path / "page.png")
    expected = text_detector.predict(image, ocr=OneLine())[0]
    for number, ocr in enumerate([line(), line(scale=3)]):
        write_ocr(tmp_path / f"ocr{number}" / "page.json", ocr)
        for source in (ocr, [ocr], tmp_path / f"ocr{number}", str(tmp_path / f"ocr{number}")):
            assert same(text_detector.predict(tmp_path / "page.png", ocr=source)[0], expected)
    other = text_detector.predict(image, ocr=line(word="six"))[0]
    assert not torch.equal(other.scores, expected.scores)  # the words do matter
    asked = []
    monkeypatch.setattr(
        "lmv3det.inference.text_source.get_engine", lambda name: asked.append(name) or OneLine()
    )
    assert same(text_detector.predict(image)[0], expected)
    text_detector.predict(image, ocr="tesseract")
    assert asked == ["auto", "tesseract"]


def test_options_of_the_engine(text_checkpoint, pages, tmp_path, capsys, monkeypatch):
    asked = {}

    def engine(name: str, **options) -> Engine:
        asked[name] = options
        return OneLine()

    monkeypatch.setattr("lmv3det.inference.text_source.get_engine", engine)
    words = ["predict", str(pages / "scan1.png"), "--ckpt", str(text_checkpoint)]
    words += ["--device", "cpu", "--out", str(tmp_path / "out"), "--option", "language=chi_sim"]
    assert main([*words, "--ocr", "tesseract"]) == 0
    assert asked == {"tesseract": {"language": "chi_sim"}}
    assert main([*words, "--ocr", str(pages), "--overwrite"]) == 1
    assert "--option is for an engine" in capsys.readouterr().err


def test_an_ocr_folder_without_ocr_files_is_an_error(text_detector, pages):
    with pytest.raises(InputError, match="holds no OCR files"):
        text_detector.predict(pages / "scan1.png", ocr=pages)


def test_text_of_pdf_pages(text_detector, pdf, tmp_path):
    class Layer(OneLine):
        from_pdf = True

        def read_pdf(self, path, number, dpi, password=None):
            self.sizes.append((Path(path).name, number, dpi))
            return line(240, 320) if number == 0 else line(400, 300, word="six")

    engine = Layer()
    expected = text_detector.predict(pdf, ocr=engine)
    assert engine.sizes == [("paper.pdf", 0, 144), ("paper.pdf", 1, 144)]
    with pytest.raises(InputError, match="no text layer"):
        text_detector.predict(page_image(), ocr="pdf-text")
    write_ocr(tmp_path / "ocr/paper_p1.json", line(240, 320))
    with pytest.raises(InputError, match=r"paper_p2\.json: no such OCR file"):
        text_detector.predict(pdf, ocr=tmp_path / "ocr")
    write_ocr(tmp_path / "ocr/paper_p2.json", line(400, 300, word="six"))
    found = text_detector.predict(pdf, ocr=tmp_path / "ocr")
    assert all(same(*both) for both in zip(found, expected, strict=True))


def test_pages_without_text(text_detector):
    empty = OcrPage(np.zeros((0, 4)), [], 60, 80)
    skipped = OcrPage(np.zeros((0, 4)), skipped=1)
    found = text_detector.predict([page_image()] * 3, ocr=[empty, skipped, line()])
    assert same(found[0], found[1])
    assert not torch.equal(found[0].scores, found[2].scores)


def test_faults_of_the_text(text_detector, tmp_path):
    page = page_image()
    with pytest.raises(InputError, match="ocr has 1 entries, fewer"):
        text_detector.predict([page, page], ocr=[line()])
    with pytest.raises(InputError, match="2 entries for 1 pages"):
        text_detector.predict(page, ocr=[line(), line()])
    with pytest.raises(
        InputError, match="neither a folder of OCR files nor one of layer, none, auto"
    ):
        text_detector.predict(page, ocr="tesserakt")
    with pytest.raises(InputError, match="page of 0×0 pixels"):
        text_detector.predict(page, ocr=OcrPage(np.array([[1.0, 2, 3, 4]]), ["one"]))
    with pytest.raises(InputError, match="is dict; give an OcrPage"):
        text_detector.predict(page, ocr=[{"words": []}])

    class Broken(OneLine):
        def recognize(self, image):
            raise RuntimeError("no model")

    with pytest.raises(InputError, match=r"text cannot be read.*no model"):
        text_detector.predict(page, ocr=Broken())


def test_an_image_only_model_ignores_text(detector):
    page = page_image()
    assert same(detector.predict(page, ocr="no such thing")[0], detector.predict(page)[0])


# The command


@pytest.fixture
def command(checkpoint, tmp_path, capsys):
    def run(*words: object) -> tuple[int, str, str]:
        out = ["--out", str(tmp_path / "out"), "--device", "cpu"]
        code = main(["predict", "--ckpt", str(checkpoint), *map(str, words), *out])
        return code, *capsys.readouterr()

    return run


def read(path: Path) -> list[dict]:
    return json.loads((path / "detections.json").read_text())


def test_command(command, pages, pdf, tmp_path, detector):
    code, _, err = command(pages, pdf, "--batch-size", 2, "--score", 0.1)
    assert code == 0, err
    entries = read(tmp_path / "out")
    assert [(Path(e["file"]).name, e["page"], e["width"], e["height"]) for e in entries] == [
        ("scan1.png", 1, 60, 80),
        ("scan2.png", 1, 60, 80),
        ("scan3.png", 1, 90, 50),
        ("paper.pdf", 1, 240, 320),
        ("paper.pdf", 2, 400, 300),
    ]
    names = ["scan1.png", "scan2.png", "scan3.png", "paper_p1.png", "paper_p2.png"]
    assert [entry["drawing"] for entry in entries] == names
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        [*names, "detections.json", LEDGER]
    )
    with Image.open(tmp_path / "out/paper_p2.png") as picture:
        assert picture.size == (400, 300)
    expected = detector.predict(pages / "scan1.png", score_threshold=0.1)[0]
    x0, y0, x1, y1 = expected.boxes[0].tolist()
    first = entries[0]["detections"][0]
    assert first["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=0.02)
    assert first["score"] == pytest.approx(float(expected.scores[0]), abs=2e-4)
    assert first["category"] == expected.names[expected.classes[0]]
    assert set(first) - {"order"} == {"bbox", "score", "category"}
    assert len(entries[0]["detections"]) == len(expected)


def test_command_masks_and_dpi(command, pdf, tmp_path):
    code, _, err = command(pdf, "--dpi", 72, "--masks", "--no-drawings")
    assert code == 0, err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"detections.json", LEDGER}
    entry = read(tmp_path / "out")[0]
    assert "drawing" not in entry
    assert (entry["width"], entry["height"]) == (120, 160)
    mask = coco_mask.decode(entry["detections"][0]["segmentation"])
    assert mask.shape == (160, 120)


def test_drawings_do_not_replace_one_another(command, pages, tmp_path, pdf):
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
        page_image(9).save(tmp_path / name / "scan1.png")
    page_image(8).save(tmp_path / "b" / "paper_p2.png")
    inputs = [pages / "scan1.png", tmp_path / "b", tmp_path / "c", pdf, pages / "scan1.png"]
    code, _, err = command(*inputs)
    assert code == 0, err
    drawings = [entry["drawing"] for entry in read(tmp_path / "out")]
    assert drawings == [
        "scan1.png", "paper_p2.png", "scan1-2.png", "scan1-3.png", "paper_p1.png", "paper_p2-2.png",
    ]  # fmt: skip
    assert all((tmp_path / "out" / name).is_file() for name in drawings)


def test_inputs_are_never_replaced(command, tmp_path):
    (tmp_path / "out").mkdir()
    page_image().save(tmp_path / "out" / "page.png")
    before = (tmp_path / "out/page.png").read_bytes()
    code, _, err = command(tmp_path / "out")
    assert code == 1 and "give another --out" in err
    assert (tmp_path / "out/page.png").read_bytes() == before
    assert command(tmp_path / "out", "--no-drawings")[0] == 0


def test_bad_pages_do_not_stop_the_rest(command, pages, tmp_path):
    (pages / "scan0.png").write_text("no picture")
    (pages / "scan2.png").write_bytes((pages / "scan2.png").read_bytes()[:100])
    (pages / "broken.pdf").write_text("%PDF-1.7 no document")
    huge = Image.new("1", (20000, MAX_PIXELS // 20000 + 1))
    huge.save(pages / "huge.png")
    code, _, err = command(pages)
    assert code == 1
    assert [Path(e["file"]).name for e in read(tmp_path / "out")] == ["scan1.png", "scan3.png"]
    lines = [text for text in err.splitlines() if ": " in text and "page/s" not in text]
    for name, text in zip(("broken.pdf", "huge.png", "scan0.png", "scan2.png"), sorted(lines)[:4],
                          strict=True):  # fmt: skip
        assert name in text
    assert lines[-1] == "lmv3det predict: 4 of the inputs failed, as said above"


def test_a_bad_page_of_a_pdf_does_not_cost_the_later_ones(command, tmp_path, monkeypatch):
    frames = [Image.new("RGB", (60 if n != 1 else 200, 80), "white") for n in range(3)]
    frames[0].save(tmp_path / "a.pdf", save_all=True, append_images=frames[1:], resolution=72)
    monkeypatch.setenv("LMV3DET_MAX_PIXELS", "10000")
    code, _, err = command(tmp_path / "a.pdf", "--dpi", "72")
    assert code == 1 and "200×80 pixels" in err and "(page 2)" in err
    assert [entry["page"] for entry in read(tmp_path / "out")] == [1, 3]


def test_a_page_without_its_text_does_not_stop_the_rest(text_checkpoint, pages, tmp_path, capsys):
    for name in ("scan1", "scan3"):
        write_ocr(tmp_path / "ocr" / f"{name}.json", line())
    words = ["predict", str(pages), "--ckpt", str(text_checkpoint), "--ocr", str(tmp_path / "ocr")]
    assert main([*words, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 1
    assert len(read(tmp_path / "out")) == 2
    assert "scan2.json: no such OCR file" in capsys.readouterr().err


def test_words_that_no_tokenizer_takes_fail_their_page_alone(
    text_checkpoint, pages, tmp_path, capsys
):
    """Failed before: a lone surrogate in a word ended the job with a traceback."""
    for name, word in (("scan1", "one"), ("scan2", "\udcff"), ("scan3", "three")):
        content = {"bbox": [[5, 5, 20, 10]], "words": [word], "W": 60, "H": 80}
        (tmp_path / "ocr").mkdir(exist_ok=True)
        (tmp_path / "ocr" / f"{name}.json").write_text(json.dumps(content))
    words = ["predict", str(pages), "--ckpt", str(text_checkpoint), "--ocr", str(tmp_path / "ocr")]
    words += ["--batch-size", "2", "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(words) == 1
    assert [Path(e["file"]).stem for e in read(tmp_path / "out")] == ["scan1", "scan3"]
    assert "scan2" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_done(command, pages, tmp_path, monkeypatch, caplog):
    usual, seen = Detector._detect, []

    def interrupted(self, *batch):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(1)
        return usual(self, *batch)

    monkeypatch.setattr(Detector, "_detect", interrupted)
    code, _, err = command(pages)
    assert code == 130 and "interrupted" in err
    assert "2 of 3 pages are done" in caplog.text and "--resume" in caplog.text
    assert [path.name for path in (tmp_path / "out").glob(".*")] == [LEDGER]
    monkeypatch.setattr(Detector, "_detect", usual)
    code, out, _ = command(pages, "--resume")
    assert code == 0 and "3 pages, 2 of them done before" in out
    drawings = [entry["drawing"] for entry in read(tmp_path / "out")]
    assert drawings == ["scan1.png", "scan2.png", "scan3.png"]
    kept = {path.name for path in (tmp_path / "out").iterdir()}
    assert kept == {*drawings, "detections.json", LEDGER}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["none.png"], 1, "none.png: no such file or folder"),
        ([], 2, "the following arguments are required: INPUT"),
        (["x", "--score", "2"], 1, "--score is 2.0; it must be from 0 to 1"),
        (["x", "--batch-size", "0"], 1, "--batch-size is 0"),
        (["x", "--batch-size", "many"], 2, "invalid int value"),
        (["x", "--scores", "1", "--nonsense"], 2, "unrecognized arguments"),
    ],
)
def test_what_the_command_refuses(command, words, code, message):
    got, _, err = command(*words)
    assert got == code and message in err


def test_script_at_the_top_level(checkpoint, pages, tmp_path):
    script = Path(__file__).resolve().parents[2] / "predict.py"
    words = [str(script), str(pages / "scan1.png"), "--ckpt", str(checkpoint), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "predictions").iterdir()} == {
        "detections.json", "scan1.png", LEDGER
    }  # fmt: skip


def test_masks_only_when_asked(detector, pages, monkeypatch):
    """The same regions; the mask head is not run without need, nor by the command."""
    page = pages / "scan1.png"
    (with_masks,) = detector.predict(page)
    monkeypatch.setattr(detector.model.mask_head, "predict", None)
    (without,) = detector.predict(page, masks=False)
    assert with_masks.masks is not None and without.masks is None
    assert torch.equal(with_masks.boxes, without.boxes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0,1", "decimals have a point, as 0.1"),
        ("0,05", "decimals have a point"),
        ("0.1,0.2", "CLASS=NUMBER"),
        ("Text=0,3", "decimals have a point"),
        ("Text=0.3,Text=0.5", "names a class twice"),
        ("0.5,Text=0.5", "CLASS=NUMBER"),
        ("", "is not a number"),
        ("nan", "from 0 to 1"),
    ],
)
def test_scores_that_are_no_numbers(text, said):
    """Failed before: `--score 0,1` was taken as 1, and nothing was found."""
    with pytest.raises(InputError) as error:
        read_score(text)
    assert said in str(error.value)


def test_scores():
    assert read_score("0.1") == 0.1 and read_score("best") == "best"
    assert read_score("Text=0.3, Table=0.5") == {"Text": 0.3, "Table": 0.5}
