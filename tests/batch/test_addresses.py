"""Which addresses are opened: named protocols, no chains; lists, folders, whole tar files."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from batch_helpers import TEXT, draw_page, rows
from hand_made_pdf import write_pdf
from PIL import Image

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

from lmv3det.batch.documents import check_document, find_documents, open_document  # noqa: E402
from lmv3det.batch.job import run_batch  # noqa: E402
from lmv3det.cli import main  # noqa: E402
from lmv3det.data.addresses import read_bytes  # noqa: E402
from lmv3det.data.formats import FORMATS  # noqa: E402
from lmv3det.data.images import iter_pages  # noqa: E402
from lmv3det.errors import InputError  # noqa: E402

EVIL = [
    "zip://a.png::pages.zip", "tar://a.png::pages.tar", "jlab://x", "generic://x", "cached://x",
    "reference://x", "filecache::http://127.0.0.1:9/x.png", "simplecache::file:///x.png", "ssh://h/x",
    "github://a:b@/x.png", "data://x", "dir::file:///etc", "REFERENCE://x.png", "blockcache::s3://b/x",
    "reference::file://evil.json", "ftp://h/x.png", "smb://h/x.png", "hdfs://h/x.png", "arrow_hdfs://x",
]  # fmt: skip


@pytest.mark.parametrize("address", EVIL)
def test_no_protocol_but_the_named_ones(address, tmp_path, monkeypatch):
    """Neither as a source nor as shards; fsspec is not even asked."""
    monkeypatch.chdir(tmp_path)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("fsspec was asked")

    for name in ("filesystem", "get_filesystem_class", "open"):
        monkeypatch.setattr(fsspec, name, never)
    monkeypatch.setattr(fsspec.core, "url_to_fs", never)
    with pytest.raises(InputError, match="are not read, but paths"):
        find_documents([address])
    with pytest.raises(InputError, match="are not read, but paths"):
        read_bytes(address)


def test_templates_of_a_reference_file_are_not_rendered(tmp_path, monkeypatch):
    """`reference::evil.json` is a file of that name and nothing else, in a list and in a folder."""
    monkeypatch.chdir(tmp_path)
    touched = tmp_path / "touched"
    call = f"{{{{ cycler.__init__.__globals__.os.mkdir('{touched}') }}}}"
    evil = {"version": 1, "templates": {"u": call}, "gen": [], "refs": {"a.png": "{{u}}"}}
    for name in ("evil.json", "reference::evil.json"):
        (tmp_path / name).write_text(json.dumps(evil))
    draw_page(tmp_path / "page.png")
    (tmp_path / "list.txt").write_text("reference::evil.json\npage.png\nreference::gone.json\n")
    names = {d.name for d in find_documents(["list.txt"])}
    assert names == {str(tmp_path / n) for n in
                     ("reference::evil.json", "page.png", "reference::gone.json")}  # fmt: skip
    found = [d.name for d in find_documents(["reference::evil.json", "page.png"])]
    assert f"{tmp_path}/reference::evil.json" in found
    assert not touched.exists()


def test_names_with_two_colons_are_names(tmp_path, options):
    page = draw_page(tmp_path / "store" / "a::b.png")
    (tmp_path / "a.tar::b").mkdir()
    draw_page(tmp_path / "a.tar::b" / "zip::c.png")
    (tmp_path / "list.txt").write_text(f"{page}\nfile://{page}\n")
    sources = [tmp_path / "list.txt", tmp_path / "a.tar::b"]
    report = run_batch(sources, tmp_path / "out", options)
    assert (report.pages, report.failed) == (2, 0)


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lists_as_editors_write_them(tmp_path, mark, end):
    one, two = (draw_page(tmp_path / f"page{n}.png") for n in range(2))
    lines = [os.fsencode(one), b"# a comment", b"", os.fsencode(two)]
    (tmp_path / "list.txt").write_bytes(mark + end.join(lines))
    names = [d.name for d in find_documents([str(tmp_path / "list.txt")])]
    assert names == [str(one), str(two)]


def test_a_list_that_cannot_be_used_names_its_line(tmp_path):
    (tmp_path / "list.txt").write_text("a.png\nzip://a.png::b.zip\n")
    with pytest.raises(InputError, match=r"list\.txt: line 2: zip://a\.png::b\.zip: addresses of"):
        find_documents([str(tmp_path / "list.txt")])
    (tmp_path / "wide.txt").write_text("a.png", encoding="utf-16")
    with pytest.raises(InputError, match="UTF-16"):
        find_documents([str(tmp_path / "wide.txt")])


def test_addresses_without_a_suffix(tmp_path, options):
    """An image or PDF is told by its content, wherever it lies."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/plain/picture", draw_page(tmp_path / "page.png").read_bytes())
    memory.pipe("/plain/paper", write_pdf(tmp_path / "paper.pdf", TEXT).read_bytes())
    (tmp_path / "list.txt").write_text(
        "memory://plain/picture\nmemory://plain/paper\nmemory://plain/gone\n"
    )
    report = run_batch([tmp_path / "list.txt"], tmp_path / "out", options)
    assert (report.pages, report.failed) == (3, 1)
    (bad,) = (row for row in rows(tmp_path / "out") if row["error"])
    assert bad["document"].endswith("/gone") and "no such file" in bad["error"]


# Folders.


def test_links_to_folders_are_followed_once(tmp_path):
    draw_page(tmp_path / "disk" / "2024" / "a.png")
    draw_page(tmp_path / "scans" / "b.png")
    (tmp_path / "scans" / "2024").symlink_to(tmp_path / "disk" / "2024")
    (tmp_path / "scans" / "again").symlink_to(tmp_path / "scans")  # a circle
    (tmp_path / "disk" / "2024" / "back").symlink_to(tmp_path / "scans")
    (tmp_path / "scans" / "file.png").symlink_to(tmp_path / "disk" / "2024" / "a.png")
    names = [d.name for d in find_documents([str(tmp_path / "scans")])]
    expected = ("2024/a.png", "b.png", "file.png")
    assert names == [f"{tmp_path}/scans/{name}" for name in expected]


def test_folders_that_cannot_be_read_are_counted_and_named(tmp_path, options, monkeypatch, capsys):
    draw_page(tmp_path / "scans" / "a.png")
    draw_page(tmp_path / "scans" / "shut" / "b.png")
    (tmp_path / "scans" / "dangling.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "scans" / "pipe.tar")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if os.fspath(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    words = ["batch", str(tmp_path / "scans"), "--out", str(tmp_path / "out")]
    words += ["--ckpt", options.ckpt, "--device", "cpu"]
    assert main(words) == 1
    said = capsys.readouterr()
    assert "4 pages" in said.out and "3 failed" in said.out
    for name, why in (("shut", "Permission denied"), ("dangling.png", "link to nothing"),
                      ("pipe.tar", "not a regular file")):  # fmt: skip
        assert any(name in line and why in line for line in said.err.splitlines())
        assert any(name in row["document"] and why in row["error"]
                   for row in rows(tmp_path / "out") if row["error"])  # fmt: skip
    assert main([*words, "--resume"]) == 1  # what is lost is said again


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.tar")
    os.mkfifo(tmp_path / "x.txt")
    for name in ("x.tar", "x.txt"):
        with pytest.raises(InputError, match="not a regular file"):
            find_documents([str(tmp_path / name)])
        with pytest.raises(InputError, match="not a regular file"):
            read_bytes(str(tmp_path / name))


# Tar files.


def tar_bytes(names: list[str], pages: bytes, form: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(pages)
            archive.addfile(member, io.BytesIO(pages))
    return stream.getvalue()


@pytest.fixture
def page(tmp_path) -> bytes:
    return draw_page(tmp_path / "page.png").read_bytes()


def found_in(path: Path) -> tuple[list[str], list[str]]:
    """Names of the members that can be read, and the problems of the others."""
    documents = find_documents([str(path)])
    good = [d for d in documents if not d.problem]
    for document in good:  # they are read where they are said to lie
        content = read_bytes(document.address, document.start, document.length)
        assert content.startswith(b"\x89PNG")
    names = [d.name.removeprefix("tar://").removesuffix(f"::{path}") for d in good]
    return names, [f"{d.name}: {d.problem}" for d in documents if d.problem]


def starts(content: bytes) -> list[int]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return [member.offset for member in archive]


NAMES = [f"{n}.png" for n in range(4)]


def test_a_whole_archive_has_no_fault(tmp_path, page):
    long = "x" * 200 + ".png"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        names = [*NAMES, long, "ü/日本.png"]
        (tmp_path / "a.tar").write_bytes(tar_bytes(names, page, form))
        assert found_in(tmp_path / "a.tar") == (sorted(names), [])


def test_a_header_with_a_flipped_bit(tmp_path, page):
    content = bytearray(tar_bytes(NAMES, page))
    content[starts(bytes(content))[1] + 3] ^= 4
    (tmp_path / "a.tar").write_bytes(content)
    names, problems = found_in(tmp_path / "a.tar")
    assert names == ["0.png", "2.png", "3.png"]
    assert len(problems) == 1 and "header" in problems[0] and "damaged" in problems[0]


def test_an_archive_that_is_cut_off(tmp_path, page):
    whole = tar_bytes(NAMES, page)
    third = starts(whole)[2]
    for cut, expected in (
        (third + 100, 2),  # inside a header
        (third, 2),  # between two members
        (third + 512 + 10, 2),  # inside a member
        (third + 512 + len(page), 3),  # behind its bytes
    ):
        (tmp_path / "a.tar").write_bytes(whole[:cut])
        names, problems = found_in(tmp_path / "a.tar")
        assert names == NAMES[:expected] and problems, cut
        assert all("cut off" in problem for problem in problems)


def test_archives_one_behind_another(tmp_path, page):
    first, second = tar_bytes(NAMES[:2], page), tar_bytes(NAMES[2:], page)
    (tmp_path / "a.tar").write_bytes(first + second)
    assert found_in(tmp_path / "a.tar") == (NAMES, [])
    (tmp_path / "b.tar").write_bytes(first + tar_bytes(NAMES[1:], page))
    names, problems = found_in(tmp_path / "b.tar")
    assert names == NAMES and len(problems) == 1 and "comes again" in problems[0]
    damaged = bytearray(first + second)
    damaged[len(first) + 3] ^= 1
    (tmp_path / "c.tar").write_bytes(damaged)
    names, problems = found_in(tmp_path / "c.tar")
    assert names == ["0.png", "1.png", "3.png"] and "behind its end" in problems[0]


def test_links_in_an_archive(tmp_path, page):
    stream = io.BytesIO(tar_bytes(["objects/ab12", "0.png"], page))
    with tarfile.open(fileobj=stream, mode="a") as archive:
        for name, kind, target in (
            ("hard.png", tarfile.LNKTYPE, "objects/ab12"),
            ("a/soft.png", tarfile.SYMTYPE, "../0.png"),
            ("gone.png", tarfile.LNKTYPE, "nothing.png"),
            ("out.png", tarfile.SYMTYPE, "/etc/passwd"),
            ("pipe.png", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    (tmp_path / "a.tar").write_bytes(stream.getvalue())
    names, problems = found_in(tmp_path / "a.tar")
    assert names == ["0.png", "a/soft.png", "hard.png"]
    assert sorted(p.partition("tar://")[2].partition("::")[0] for p in problems) == [
        "gone.png", "out.png", "pipe.png"
    ]  # fmt: skip


def test_sparse_members_are_named(tmp_path, page):
    content = bytearray(tar_bytes(["0.png", "1.png"], page))
    place = starts(bytes(content))[1]
    header = tarfile.TarInfo.frombuf(bytes(content[place : place + 512]), "utf-8", "strict")
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[156:157] = b"S"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    content[place : place + 512] = block
    (tmp_path / "a.tar").write_bytes(content)
    names, problems = found_in(tmp_path / "a.tar")
    assert names == ["0.png"] and len(problems) == 1 and "sparse" in problems[0]


def test_a_damaged_archive_does_not_end_a_job(tmp_path, page, options, capsys):
    """Among others it is a row with an error, counted, named, and the exit code is 1."""
    draw_page(tmp_path / "scans" / "a.png")
    (tmp_path / "scans" / "bad.tar").write_bytes(b"no tar file" * 100)
    content = bytearray(tar_bytes(NAMES, page))
    content[starts(bytes(content))[3] + 3] ^= 4
    (tmp_path / "scans" / "worn.tar").write_bytes(content)
    words = ["batch", str(tmp_path / "scans"), "--out", str(tmp_path / "out")]
    assert main([*words, "--ckpt", options.ckpt, "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert "6 pages" in said.out and "2 failed" in said.out
    assert "lost: " in said.err and "bad.tar" in said.err and "worn.tar" in said.err
    with pytest.raises(InputError, match=r"bad\.tar: cannot be read"):
        find_documents([str(tmp_path / "scans" / "bad.tar")])


def test_documents_are_told_by_their_content(tmp_path, caplog):
    """A PDF and a picture under any name, in a folder and in a tar file."""
    write_pdf(tmp_path / "download", "")
    write_pdf(tmp_path / "article.pdf.part1", "")
    Image.new("RGB", (8, 6)).save(tmp_path / "scan.0001", "PNG")
    (tmp_path / "notes.md").write_text("no page")
    os.mkfifo(tmp_path / "pipe")
    names = ["article.pdf.part1", "download", "scan.0001"]
    with caplog.at_level(logging.WARNING):
        found = find_documents([str(tmp_path)])
    assert [document.name for document in found] == [str(tmp_path / name) for name in names]
    assert "notes.md" in caplog.text and "pipe" in caplog.text and "scan" not in caplog.text
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in [*names, "notes.md"]:
            archive.add(tmp_path / name, name)
    members = find_documents([str(tmp_path / "x.tar")])
    assert [document.name.split("::")[0] for document in members] == [
        f"tar://{name}" for name in names
    ]
    for document in members:
        with open_document(document) as path:
            assert check_document(path, None)[1] == 1


def test_photographs_of_telephones(tmp_path):
    """HEIC where the package for it is installed, AVIF where Pillow is built with it."""
    cases = Path(__file__).parents[1] / "cases" / "pdf_by_name"
    for name, kind in (("photo.heic", "HEIF"), ("photo.avif", "AVIF")):
        shutil.copy(cases / name, tmp_path / f"{kind} of a telephone")
        if kind not in FORMATS:
            continue
        (document,) = find_documents([str(tmp_path)])
        with open_document(document) as path:
            assert check_document(path, None)[1] == 1
            assert next(iter(iter_pages(path, 72)))[1].std() > 1
        (tmp_path / f"{kind} of a telephone").unlink()
