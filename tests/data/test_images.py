"""Reading pages: every kind of pixel, EXIF, frames, PDF, damaged files, the Python API's input."""

from __future__ import annotations

import hashlib
import os
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pypdfium2
import pytest
import torch
from PIL import Image

from lmv3det.data import pixels
from lmv3det.data.images import (
    count_pages,
    find_pages,
    iter_pages,
    read_image,
    read_orientation,
    read_size,
    to_array,
)
from lmv3det.errors import InputError
from tests.hand_made_pdf import write_pdf
from tools.serve_load import pdf_bomb

GREY = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def test_colour_and_grey(tmp_path):
    path = tmp_path / "page.png"
    Image.fromarray(COLOUR).save(path)
    out = read_image(path)
    assert out.dtype == np.uint8 and out.flags.writeable and np.array_equal(out, COLOUR)
    Image.fromarray(GREY).save(path)
    assert np.array_equal(read_image(path), np.repeat(GREY[..., None], 3, axis=2))


def test_one_bit_and_palette(tmp_path):
    path = tmp_path / "page.png"
    bits = GREY > 100
    Image.fromarray(bits).save(path)
    assert np.array_equal(read_image(path)[..., 1], bits * np.uint8(255))
    picture = Image.fromarray(COLOUR // 64 * 64).convert("P", palette=Image.Palette.ADAPTIVE)
    picture.save(path)
    assert Image.open(path).mode == "P"
    assert np.array_equal(read_image(path), np.asarray(picture.convert("RGB")))


def test_sixteen_bits_are_scaled_not_cut(tmp_path):
    deep = np.array([[0, 128, 129, 257], [32768, 65278, 65407, 65535]], dtype=np.uint16)
    expected = [[0, 0, 1, 1], [128, 254, 255, 255]]
    for name in ("page.png", "page.tif"):
        Image.fromarray(deep).save(tmp_path / name)
        assert read_image(tmp_path / name)[..., 0].tolist() == expected
    (tmp_path / "page.pgm").write_bytes(b"P5 4 2 65535\n" + deep.astype(">u2").tobytes())
    assert read_image(tmp_path / "page.pgm")[..., 2].tolist() == expected
    assert to_array(deep)[..., 0].tolist() == expected


def test_float_grey(tmp_path):
    Image.fromarray(np.array([[0, 0.5, 1]], dtype=np.float32)).save(tmp_path / "page.tif")
    assert read_image(tmp_path / "page.tif")[0, :, 0].tolist() == [0, 128, 255]
    Image.fromarray(np.array([[0, -5, 1]], dtype=np.float32)).save(tmp_path / "page.tif")
    with pytest.raises(InputError, match=r"page\.tif.*-5"):
        read_image(tmp_path / "page.tif")


def test_transparency_lies_over_white(tmp_path):
    path = tmp_path / "page.png"
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 3] = [0, 128, 255]
    Image.fromarray(rgba).save(path)
    assert read_image(path)[0, :, 0].tolist() == [255, 127, 0]
    assert to_array(rgba)[0, :, 0].tolist() == [255, 127, 0]
    Image.fromarray(rgba).convert("LA").save(path)
    assert read_image(path)[0, :, 2].tolist() == [255, 127, 0]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    palette.save(path, transparency=0)
    assert read_image(path).tolist() == [[[255, 255, 255], [40, 50, 60]]]
    Image.fromarray(COLOUR).save(path, transparency=tuple(COLOUR[0, 0].tolist()))
    assert read_image(path)[0, 0].tolist() == [255, 255, 255]
    assert read_image(path)[1, 1].tolist() == COLOUR[1, 1].tolist()


def test_cmyk(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "page.jpg", quality=95)
    red = read_image(tmp_path / "page.jpg")[8, 8].astype(int)
    assert red[0] > 245 and red[1:].max() < 10


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation, suffix):
    upright = np.zeros((48, 64, 3), dtype=np.uint8)
    upright[:16, :16] = 255
    upright[32:, 16:32] = 128
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    image = Image.fromarray(upright)
    image = image if undo is None else image.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"page.{suffix}"
    image.save(path, exif=exif)
    out = read_image(path)
    assert out.shape == upright.shape
    assert np.abs(out.astype(int) - upright).mean() < 6
    assert read_size(path) == (48, 64)
    if suffix != "tif":  # Pillow itself turns a TIFF
        assert read_image(path, upright=False).shape == (image.height, image.width, 3)
        assert read_size(path, upright=False) == (image.height, image.width)


def test_frames_of_a_tiff(tmp_path):
    path = tmp_path / "pages.tif"
    frames = [Image.new("L", (10 + k, 20), 50 * k) for k in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert count_pages(path) == 3
    assert read_image(path).shape == (20, 10, 3)
    pages = list(iter_pages(path))
    assert [number for number, _ in pages] == [0, 1, 2]
    assert [page.shape[1] for _, page in pages] == [10, 11, 12]
    assert [int(page[0, 0, 0]) for _, page in pages] == [0, 50, 100]


def test_pages_of_a_pdf(tmp_path):
    path = tmp_path / "pages.pdf"
    first, second = Image.new("RGB", (72, 144), (200, 30, 40)), Image.new("RGB", (144, 72))
    first.save(path, save_all=True, append_images=[second], resolution=72)
    assert count_pages(path) == 2
    pages = dict(iter_pages(path, dpi=144))
    assert pages[0].shape == (288, 144, 3) and pages[1].shape == (144, 288, 3)
    assert np.abs(pages[0][140, 70].astype(int) - (200, 30, 40)).max() < 6  # RGB, not BGR
    with pytest.raises(InputError, match="dpi"):
        next(iter_pages(path, dpi=0))
    single = tmp_path / "one.png"
    Image.fromarray(COLOUR).save(single)
    assert count_pages(single) == 1
    assert [number for number, _ in iter_pages(single)] == [0]


def test_damaged_pdf(tmp_path):
    path = tmp_path / "page.pdf"
    path.write_bytes(b"%PDF-1.7 nothing")
    for read in (count_pages, lambda p: list(iter_pages(p))):
        with pytest.raises(InputError, match=r"page\.pdf"):
            read(path)


def bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def truncated() -> bytes:
    import io

    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(
        buffer, "PNG"
    )
    return buffer.getvalue()[:2000]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"hello, this is no image", "not an image"),
        (truncated(), "cannot be read"),
        (bomb(), "pixels"),
        (None, "no such file"),
    ],
)
@pytest.mark.parametrize("read", [read_image, count_pages, lambda p: list(iter_pages(p))])
def test_files_that_cannot_be_read(tmp_path, content, says, read):
    path = tmp_path / "page.png"
    if content is not None:
        path.write_bytes(content)
    if read is count_pages and content == truncated():
        assert read(path) == 1  # the header is whole
        return
    with pytest.raises(InputError) as error:
        read(path)
    assert says in str(error.value) and "page.png" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "gif", "bmp"])
def test_damage_anywhere_is_an_input_error_or_an_image(tmp_path, suffix):
    path = tmp_path / f"page.{suffix}"
    Image.fromarray(COLOUR).resize((40, 40)).save(path)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(whole)
        for place in generator.integers(0, len(whole), 4):
            broken[place] = generator.integers(256)
        path.write_bytes(broken[: generator.integers(1, len(whole) + 1)])
        try:
            assert read_image(path).ndim == 3
        except InputError as error:
            assert path.name in str(error)


def test_too_large(tmp_path, monkeypatch):
    monkeypatch.setenv("LMV3DET_MAX_PIXELS", "47")
    Image.fromarray(COLOUR).save(tmp_path / "page.png")
    with pytest.raises(InputError, match="8×6 pixels, more than the 47 allowed"):
        read_image(tmp_path / "page.png")
    Image.fromarray(COLOUR).save(tmp_path / "page.pdf")
    with pytest.raises(InputError, match=r"page\.pdf.*pixels"):
        list(iter_pages(tmp_path / "page.pdf"))


@pytest.mark.parametrize("suffix", ["pdf", "tif"])
def test_a_bad_page_does_not_cost_the_later_ones(tmp_path, monkeypatch, suffix):
    monkeypatch.setenv("LMV3DET_MAX_PIXELS", "400")
    path = tmp_path / f"pages.{suffix}"
    frames = [Image.new("RGB", (10 if n != 1 else 60, 12)) for n in range(4)]
    frames[0].save(path, save_all=True, append_images=frames[1:], resolution=72)
    failed: dict[int, InputError] = {}
    found = [number for number, _ in iter_pages(path, dpi=72, failed=failed.__setitem__)]
    assert found == [0, 2, 3] and list(failed) == [1]
    assert "60×12 pixels" in str(failed[1]) and path.name in str(failed[1])
    with pytest.raises(InputError, match="60×12"):
        list(iter_pages(path, dpi=72))
    assert [number for number, _ in iter_pages(path, dpi=72, numbers=(3, 0))] == [3, 0]


def test_find_pages(tmp_path):
    for name in ("p10.png", "p2.JPG", "a.pdf", "notes.txt", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "inner.png").write_bytes(b"x")
    single = tmp_path / "notes.txt"
    found = [p.name for p in find_pages([str(single), str(tmp_path)])]
    assert found == ["notes.txt", "a.pdf", "p2.JPG", "p10.png"]
    with pytest.raises(InputError, match=r"nowhere\.png: no such"):
        find_pages([str(tmp_path / "nowhere.png")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no image"):
        find_pages([str(tmp_path / "empty")])


def test_to_array_takes_what_callers_have(tmp_path):
    path = tmp_path / "page.png"
    Image.fromarray(COLOUR).save(path)
    tensor = torch.from_numpy(COLOUR).permute(2, 0, 1)
    for given in (path, str(path), Image.fromarray(COLOUR), COLOUR, tensor, tensor / 255):
        out = to_array(given)
        assert out.dtype == np.uint8 and np.array_equal(out, COLOUR)
    for given in (GREY, GREY[..., None], torch.from_numpy(GREY), Image.fromarray(GREY)):
        assert np.array_equal(to_array(given), np.repeat(GREY[..., None], 3, axis=2))
    assert np.array_equal(to_array((COLOUR / 255).astype(np.float32)), COLOUR)
    assert to_array(GREY > 100).max() == 255


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((3, 4, 5, 6), np.uint8),
        np.zeros((4, 5, 2), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.full((4, 5, 3), 200.0),
        np.full((4, 5, 3), np.nan),
        np.zeros((4, 5, 3), np.int64),
        torch.zeros(40, 50, 3),
        42,
        None,
    ],
)
def test_to_array_refuses(given):
    with pytest.raises(InputError):
        to_array(given)


def test_an_image_is_what_its_content_says(tmp_path):
    """Pillow opens PostScript too, and runs Ghostscript on it where there is one."""
    path = tmp_path / "page.png"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 20\n%%EndComments\nshowpage\n%%EOF\n"
    )
    for read in (read_size, count_pages, read_image):
        with pytest.raises(InputError, match=r"page\.png: not an image"):
            read(path)
    Image.fromarray(COLOUR).save(path, "WEBP", lossless=True)  # another image, another name: fine
    assert np.array_equal(read_image(path), COLOUR)


def test_limit_on_decoded_bytes(tmp_path, monkeypatch):
    Image.fromarray(COLOUR).save(tmp_path / "page.png")
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    monkeypatch.setenv("LMV3DET_MAX_PAGE_BYTES", "100")
    with pytest.raises(InputError, match=r"8×6 pixels take 192 bytes.*LMV3DET_MAX_PAGE_BYTES"):
        read_image(tmp_path / "page.png")
    assert read_image(tmp_path / "grey.png").shape == (6, 8, 3)  # one byte a pixel
    monkeypatch.setenv("LMV3DET_MAX_PAGE_BYTES", "many")
    with pytest.raises(InputError, match="LMV3DET_MAX_PAGE_BYTES is 'many'"):
        read_image(tmp_path / "grey.png")


@pytest.mark.parametrize("suffix", ["pdf", "tif"])
def test_limit_on_the_pages_of_a_file(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"pages.{suffix}"
    frames = [Image.new("RGB", (10, 12)) for _ in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    monkeypatch.setenv("LMV3DET_MAX_PAGES", "3")
    assert count_pages(path) == 3
    monkeypatch.setenv("LMV3DET_MAX_PAGES", "2")
    for read in (count_pages, lambda p: list(iter_pages(p))):
        with pytest.raises(InputError, match=r"more than the 2 pages.*LMV3DET_MAX_PAGES"):
            read(path)


def test_the_limit_on_pixels_can_be_raised_above_pillows(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.fromarray(COLOUR).save(tmp_path / "page.png")
    monkeypatch.setenv("LMV3DET_MAX_PIXELS", "48")
    assert np.array_equal(read_image(tmp_path / "page.png"), COLOUR)


def test_frames_are_reached_without_walking_through_the_file_each_time(tmp_path, monkeypatch):
    from PIL import TiffImagePlugin

    path, count = tmp_path / "pages.tif", 60
    frames = [Image.new("L", (4, 4), n) for n in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    reads = []
    load = TiffImagePlugin.ImageFileDirectory_v2.load
    monkeypatch.setattr(
        TiffImagePlugin.ImageFileDirectory_v2,
        "load",
        lambda self, file: (reads.append(1), load(self, file))[1],
    )
    assert [int(page[0, 0, 0]) for _, page in iter_pages(path)] == list(range(count))
    assert len(reads) <= 4 * count  # it was the square


@pytest.mark.parametrize("name", ["page.png", "page.pdf", "page.tif"])
def test_pipes_are_not_waited_for(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    for read in (read_image, count_pages, lambda p: list(iter_pages(p))):
        with pytest.raises(InputError, match="not a regular file"):
            read(path)


@pytest.mark.parametrize(
    "exif",
    [
        b"no such thing",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 9, 0, 0),
        b"II*\0" + struct.pack("<IHHHI4sI", 8, 1, 0x0112, 2, 2, b"x", 0),
    ],
    ids=["no EXIF", "offset", "nine", "letter"],
)
def test_a_broken_orientation_is_upright(tmp_path, exif):
    path = tmp_path / "page.jpg"
    exif = b"Exif\0\0" + exif
    Image.fromarray(COLOUR).resize((40, 24)).save(path, exif=exif)
    assert read_image(path).shape == (24, 40, 3)
    assert read_size(path) == (24, 40) and read_orientation(path) == 1


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "RGBA", "LA", "I;16", "transparent P"])
def test_large_pages_are_converted_band_by_band_to_the_same_pixels(monkeypatch, mode):
    generator = np.random.default_rng(0)
    page = Image.fromarray(generator.integers(0, 256, (31, 17, 4), dtype=np.uint8))
    if mode == "I;16":
        page = Image.fromarray(generator.integers(0, 65536, (31, 17), dtype=np.uint16))
    elif mode == "transparent P":
        page = page.convert("RGB").quantize(16)
        page.info["transparency"] = 3
    elif mode != "RGBA":
        page = (page if mode == "LA" else page.convert("RGB")).convert(mode)
    page.getexif()[0x0112] = 6
    whole = to_array(page)
    assert whole.shape == (17, 31, 3)
    monkeypatch.setattr(pixels, "_BAND", 100)
    assert np.array_equal(to_array(page), whole)


def encrypted_pdf(path, password: bytes) -> None:
    """A blank page of 72×144 points under the standard security handler, revision 2 (ISO 32000-1,
    7.6.3): RC4 with a key of 40 bits. Nothing in it is a string or stream, so that nothing needs
    to be encrypted."""
    padding = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")

    def rc4(key: bytes, data: bytes) -> bytes:
        state, j, out = list(range(256)), 0, bytearray()
        for i in range(256):
            j = (j + state[i] + key[i % len(key)]) % 256
            state[i], state[j] = state[j], state[i]
        i = j = 0
        for byte in data:
            i = (i + 1) % 256
            j = (j + state[i]) % 256
            state[i], state[j] = state[j], state[i]
            out.append(byte ^ state[(state[i] + state[j]) % 256])
        return bytes(out)

    padded = (password + padding)[:32]
    owner = rc4(hashlib.md5(padded).digest()[:5], padded)
    key = hashlib.md5(padded + owner + struct.pack("<i", -4) + b"number").digest()[:5]
    user = rc4(key, padding)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 144]>>",
        b"<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>"
        % (owner.hex().encode(), user.hex().encode()),
    ]
    content, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj%s endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    number = b"number".hex().encode()
    trailer = b"<</Size 5/Root 1 0 R/Encrypt 4 0 R/ID[<%s><%s>]>>" % (number, number)
    start = len(content)
    content += b"xref\n0 5\n0000000000 65535 f \n" + table + b"trailer" + trailer
    path.write_bytes(content + b"\nstartxref\n%d\n%%%%EOF" % start)


def test_an_encrypted_pdf_needs_its_password(tmp_path):
    path = tmp_path / "secret.pdf"
    encrypted_pdf(path, b"open sesame")
    assert count_pages(path, password="open sesame") == 1
    pages = dict(iter_pages(path, dpi=72, password="open sesame"))
    assert pages[0].shape == (144, 72, 3)
    with pytest.raises(InputError, match=r"secret\.pdf: encrypted; set password"):
        count_pages(path)
    with pytest.raises(InputError, match=r"secret\.pdf: wrong password"):
        list(iter_pages(path, password="guess"))


def test_a_picture_in_a_pdf_is_as_limited_as_a_page(tmp_path, monkeypatch):
    """PDFium unpacks it whole, however small it is drawn."""
    path = tmp_path / "page.pdf"
    path.write_bytes(pdf_bomb(300, side=200))
    monkeypatch.setenv("LMV3DET_MAX_PIXELS", "90000")
    ((_, page),) = iter_pages(path, dpi=72)
    assert page.shape == (200, 200, 3) and (page == 0).all()
    monkeypatch.setenv("LMV3DET_MAX_PIXELS", "89999")
    with pytest.raises(InputError, match=r"page\.pdf: a picture on page 1: 300×300 pixels"):
        list(iter_pages(path, dpi=72))


def test_a_jpeg_is_decoded_reduced_where_that_is_enough(tmp_path) -> None:
    """Sides are rounded up; what is drawn stays where it is, within a grey level on average."""
    array = np.full((403, 301, 3), 230, np.uint8)
    array[100:140, 40:200] = (30, 60, 90)
    Image.fromarray(array).save(tmp_path / "page.jpg", quality=95)
    Image.fromarray(array).save(tmp_path / "page.png")
    whole = read_image(tmp_path / "page.jpg")
    for least, shape in ((302, (403, 301)), (151, (403, 301)), (150, (202, 151)), (75, (101, 76))):
        reduced = read_image(tmp_path / "page.jpg", least_side=least)
        assert reduced.shape == (*shape, 3)
        resized = np.asarray(Image.fromarray(whole).resize(shape[::-1], Image.Resampling.BOX))
        assert np.abs(reduced.astype(int) - resized).mean() < 1.5
    assert read_image(tmp_path / "page.png", least_side=50).shape == array.shape


def test_large_images_are_resized_channel_by_channel_to_the_same_pixels(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    at_once = pixels.resize_image(image, (37, 50))
    monkeypatch.setattr(pixels, "_BAND", 1000)
    np.testing.assert_array_equal(pixels.resize_image(image, (37, 50)), at_once)


def test_one_thread_at_a_time_is_in_pdfium(tmp_path, monkeypatch):
    path, inside = write_pdf(tmp_path / "page.pdf", ""), []
    render = pypdfium2.PdfPage.render

    def slow(page, **options):
        inside.append(1)
        assert len(inside) == 1
        time.sleep(0.02)
        inside.pop()
        return render(page, **options)

    monkeypatch.setattr(pypdfium2.PdfPage, "render", slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: list(iter_pages(path, 36)), range(8)))
    assert all(len(pages) == 1 for pages in found)
