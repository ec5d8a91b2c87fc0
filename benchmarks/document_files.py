"""The 20 PDF files of `benchmarks.documents`, where each comes from, and the pages that are read.

They are test files and documentation of public packages, each with its own licence, and are not
part of this repository. `python -m benchmarks.document_files OUT` makes the folder: Debian packages
by `apt-get download`, source packages by `pip download`, docling's by hand (`--docling DIR`, the
folder `tests/data/pdf/sources` of its repository).
"""

from __future__ import annotations

import argparse
import gzip
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Document:
    """A file to measure on.

    Attributes:
        name: of the file in the folder.
        source: `debian:PACKAGE`, `pypi:NAME==VERSION` or `docling`.
        member: its path in the package; what ends in `.gz` is unpacked.
        pages: first and last page that are read, from 1.
        tables: CSV files of the package with the cells of its tables.
    """

    name: str
    source: str
    member: str
    pages: tuple[int, int] = (1, 3)
    tables: tuple[str, ...] = ()


_DOC = "usr/share/doc"
_POLICY = "debian:debian-policy"
_TABULA = "pypi:tabula-py==2.10.0"
DOCUMENTS = (
    Document("bash.pdf", "debian:bash-doc", f"{_DOC}/bash/bash.pdf", (1, 3)),
    Document("policy.pdf", _POLICY, f"{_DOC}/debian-policy/policy.pdf.gz", (9, 11)),
    Document("fhs.pdf", _POLICY, f"{_DOC}/debian-policy/fhs/fhs-3.0.pdf.gz", (8, 10)),
    Document("debmake.pdf", "debian:debmake-doc",
             f"{_DOC}/debmake-doc/debmake-doc.en.pdf", (12, 14)),
    Document(
        "developers.pdf", "debian:developers-reference",
        "usr/share/developers-reference/developers-reference.pdf", (12, 14),
    ),
    Document("gnuplot.pdf", "debian:gnuplot-doc", f"{_DOC}/gnuplot/gnuplot.pdf", (21, 23)),
    Document("dotguide.pdf", "debian:graphviz-doc", f"{_DOC}/graphviz/pdf/dotguide.pdf.gz", (1, 3)),
    Document("libguide.pdf", "debian:graphviz-doc", f"{_DOC}/graphviz/pdf/libguide.pdf.gz", (7, 9)),
    Document("mpfr.pdf", "debian:libmpfr-doc", f"{_DOC}/libmpfr-doc/mpfr.pdf.gz", (9, 11)),
    Document("pari.pdf", "debian:pari-doc", "usr/share/pari/doc/tutorial.pdf", (5, 7)),
    Document("asymptote.pdf", "debian:asymptote-doc", f"{_DOC}/asymptote/asymptote.pdf", (6, 8)),
    Document("refcard.pdf", "debian:pari-doc", "usr/share/pari/doc/refcard.pdf", (1, 2)),
    Document("geobase.pdf", "pypi:pypdf==7.1.1",
             "resources/GeoBase_NHNC1_Data_Model_UML_EN.pdf", (4, 6)),
    Document("cars.pdf", _TABULA, "tests/resources/data.pdf", (1, 1),
             ("tests/resources/data_1.csv",)),
    Document("donors.pdf", _TABULA, "tests/resources/campaign_donors.pdf", (1, 1),
             ("tests/resources/campaign_donors.csv",)),
    Document("report.pdf", "docling", "redp5110_sampled.pdf", (4, 9)),
    Document("paper.pdf", "docling", "2305.03393v1-pg9.pdf", (1, 3)),
    Document("columns.pdf", "docling", "normal_4pages.pdf", (1, 3)),
    Document("handbook.pdf", "docling", "amt_handbook_sample.pdf", (1, 3)),
    Document("code.pdf", "docling", "code_and_formula.pdf", (1, 3)),
)  # fmt: skip


def fetch(out: Path, docling: Path | None) -> list[str]:
    """Make the folder of the files; what cannot be had is named.

    Args:
        out: folder.
        docling: where docling's test files lie; None: they are left out.
    """
    out.mkdir(parents=True, exist_ok=True)
    lacking = []
    with tempfile.TemporaryDirectory() as scratch:
        for document in DOCUMENTS:
            kind, _, package = document.source.partition(":")
            folder = docling if kind == "docling" else Path(scratch) / package
            try:
                if kind != "docling" and folder is not None and not folder.exists():
                    _unpack(kind, package, folder)
                if folder is None:
                    raise FileNotFoundError("--docling is not given")
                for member, name in [
                    (document.member, document.name),
                    *((m, f"{document.name}.{k}.csv") for k, m in enumerate(document.tables)),
                ]:
                    content = (folder / member).read_bytes()
                    unpacked = gzip.decompress(content) if member.endswith(".gz") else content
                    (out / name).write_bytes(unpacked)
            except (OSError, subprocess.CalledProcessError) as error:
                lacking.append(f"{document.name}: {error}")
    return lacking


def _unpack(kind: str, package: str, folder: Path) -> None:
    folder.mkdir()
    if kind == "debian":
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
        (archive,) = folder.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)
        return
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*command, package, "-d", folder], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        for entry in content.getmembers():
            entry.name = entry.name.partition("/")[2]
            if entry.name:
                content.extract(entry, folder, filter="data")


def main(arguments: list[str] | None = None) -> int:
    """Fetch; 1 where something is lacking."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.document_files")
    parser.add_argument("out", type=Path)
    parser.add_argument("--docling", type=Path, metavar="DIR", help="docling's test files")
    options = parser.parse_args(arguments)
    lacking = fetch(options.out, options.docling)
    print("\n".join(lacking), file=sys.stderr)
    return int(bool(lacking))


if __name__ == "__main__":
    sys.exit(main())
