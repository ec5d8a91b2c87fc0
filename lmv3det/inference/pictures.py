"""Pictures of pages and regions that documents and annotation tools show."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from lmv3det.data.images import read_orientation
from lmv3det.data.pdf import is_pdf
from lmv3det.documents.roles import is_picture
from lmv3det.files import replacing
from lmv3det.inference.detections import crop
from lmv3det.inference.entries import PageEntry
from lmv3det.inference.formats import in_order

COPIED = {".png", ".jpg", ".jpeg"}
"""Files that are copied as they are: every tool reads them."""
PADDING = 4
"""Pixels round a region's picture."""


def save_region_pictures(image: np.ndarray, page: PageEntry, out: Path, stem: str) -> None:
    """Write the regions that a document shows as pictures; their entries get `picture`, the path
    relative to the folder. Where the page's content is known, a figure is cut out with all of its
    letters and pictures. Pictures have the quarter turn of the upright page.

    Args:
        image: H×W×3 uint8 RGB, the page.
        page: its entry.
        out: folder; the pictures are `pictures/<stem>_<number>.png` in it.
        stem: of the page.
    """
    content = page.get("content") or {"blocks": []}
    grown = {block["region"]: block["box"] for block in content["blocks"]}
    quarters = int(page["turned"]["quarters"]) if "turned" in page else 0
    if "turned" in page:  # the content's boxes are of the upright page
        grown = {}
    for region in in_order(page):
        if is_picture(region["category"], bool(region.get("lines"))):
            x, y, w, h = region["bbox"]
            index = next(k for k, one in enumerate(page["detections"]) if one is region)
            box = grown.get(index, [x, y, x + w, y + h])
            (cut,) = crop(image, np.array([box]), PADDING)
            cut = np.rot90(cut, quarters)
            region["picture"] = f"pictures/{stem}_{region['order'] + 1}.png"
            with replacing(out / region["picture"]) as temporary:
                Image.fromarray(cut).save(temporary)


def save_page_image(image: np.ndarray, file: str, pages: int, out: Path, stem: str) -> str:
    """Write a page's image into `images/`, and return its path relative to the folder.

    A PNG or JPEG file that is stored upright is copied; other pages become PNG.

    Args:
        image: H×W×3 uint8 RGB, the page.
        file: where it comes from.
        pages: how many the file has.
        out: folder.
        stem: of the image's name.
    """
    source = Path(file)
    suffix = source.suffix.lower()
    copied = pages == 1 and suffix in COPIED and not is_pdf(source)
    copied = copied and read_orientation(source) == 1
    name = f"images/{stem}{suffix if copied else '.png'}"
    with replacing(out / name) as temporary:
        if copied:
            shutil.copyfile(source, temporary)
        else:
            Image.fromarray(image).save(temporary)
    return name
