"""What is installed: the package itself, what it needs, and its extras."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from lmv3det.doctor.findings import Finding
from lmv3det.errors import install_extra

NAMED = ("torch", "torchvision", "transformers", "numpy", "pillow", "pypdfium2")
"""Packages whose versions decide the most."""

BRINGS = {
    "heif": "photographs as HEIC files",
    "ocr": "text of images, read by RapidOCR",
    "paddle": "text of images, read by PaddleOCR",
    "tesseract": "text of images, read by the program tesseract",
    "export": "ONNX files: written, checked and run",
    "serve": "a page and an API for the browser (lmv3det serve)",
    "batch": "collections of any size, to Parquet files (lmv3det batch)",
    "synthetic": "pages with exact annotations (lmv3det synthetic)",
    "fonts": "Korean and Japanese letters in drawings",
    "browser": "tests of HTML pages in a browser",
    "docs": "the documentation site",
    "dev": "tests, formatter, type checker",
}
"""Extra → what it is for."""

PROGRAMS = {"tesseract": "tesseract"}
"""Extra → the program that it calls."""


def check_packages() -> Iterator[Finding]:
    """The packages that lmv3det cannot do without."""
    requirements = _requirements()
    faults = [found for r in requirements if not r.marker and (found := _fault(r))]
    for requirement, what in faults:
        yield Finding(requirement.name, what, "broken", f'pip install "{requirement}"')
    if not faults:
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in NAMED)
        yield Finding("packages", versions)


def check_operators() -> Iterator[Finding]:
    """Whether torchvision's compiled operators fit this torch."""
    import torch
    from torchvision.ops import nms

    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0], [20.0, 20.0, 30.0, 30.0]])
    kept = nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5).tolist()
    if kept != [1, 2]:
        text = f"its non-maximum suppression keeps boxes {kept} of three, not [1, 2]"
        yield Finding("torchvision", text, "broken", REINSTALL)


REINSTALL = "pip install --force-reinstall torch torchvision (versions of one release)"


def check_extras() -> Iterator[Finding]:
    """Each extra: whether its packages are here, and what it is for."""
    requirements = _requirements()
    for extra in metadata.metadata("lmv3det").get_all("Provides-Extra") or []:
        wanted = [r for r in requirements if r.marker and r.marker.evaluate({"extra": extra})]
        brings = BRINGS.get(extra) or ", ".join(r.name for r in wanted)
        faults = [found for r in wanted if (found := _fault(r))]
        program = PROGRAMS.get(extra)
        subject = f"extra {extra}"
        if faults:
            missing = ", ".join(f"{requirement.name} {what}" for requirement, what in faults)
            yield Finding(subject, f"{brings}; {missing}", "absent", install_extra(extra))
        elif program and shutil.which(program) is None:
            fix = f"install {program} from your system's packages"
            yield Finding(subject, f"{brings}; {program} is not found", "absent", fix)
        else:
            yield Finding(subject, brings)


def _requirements() -> list[Requirement]:
    """What the installed lmv3det asks for; those of extras have a marker.

    Raises:
        RuntimeError: it is not installed, only imported from a folder.
    """
    try:
        return [Requirement(line) for line in metadata.requires("lmv3det") or []]
    except metadata.PackageNotFoundError:
        raise RuntimeError("lmv3det is imported from a folder, and not installed") from None


def _fault(requirement: Requirement) -> tuple[Requirement, str] | None:
    """What is wrong with an installed package; None where nothing is."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return requirement, "is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return requirement, f"is {version}, not {requirement.specifier}"
