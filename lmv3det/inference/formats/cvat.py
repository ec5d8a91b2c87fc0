"""CVAT: annotations of the format "CVAT for images 1.1"."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from lmv3det.errors import printable
from lmv3det.files import replacing
from lmv3det.inference.entries import RegionEntry
from lmv3det.inference.formats import Pages, in_order

NEEDS_IMAGES = True


def write(pages: Pages, out: Path, names: Sequence[str]) -> list[Path]:
    """Write cvat.xml, a box a region (a polygon on a page that was turned upright). Make a task of
    the files in `images/` with these labels, then choose "Upload annotations" and the
    format "CVAT 1.1"."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    labels = ElementTree.SubElement(
        ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task"), "labels"
    )
    for name in names:
        label = ElementTree.SubElement(labels, "label")
        # XML has no way to write control characters.
        ElementTree.SubElement(label, "name").text = printable(name)
        ElementTree.SubElement(label, "type").text = "any"
    for number, page in enumerate(pages()):
        image = ElementTree.SubElement(
            root,
            "image",
            id=str(number),
            name=printable(page["image"].removeprefix("images/")),
            width=str(page["width"]),
            height=str(page["height"]),
        )
        for region in in_order(page):
            kind, place = _shape(region)
            facts = {"label": printable(region["category"]), "source": "auto", "occluded": "0"}
            ElementTree.SubElement(image, kind, {**facts, **place, "z_order": "0"})
    ElementTree.indent(root)
    with replacing(out / "cvat.xml") as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)
    return [out / "cvat.xml"]


def _shape(region: RegionEntry) -> tuple[str, dict[str, str]]:
    """CVAT's name of a region's shape, and the attributes that say where it is."""
    if "polygon" in region:
        return "polygon", {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in region["polygon"])}
    x, y, w, h = region["bbox"]
    sides = {"xtl": x, "ytl": y, "xbr": x + w, "ybr": y + h}
    return "box", {name: f"{value:.2f}" for name, value in sides.items()}
