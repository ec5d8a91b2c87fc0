"""A detector scored on a data set, in one process or several.

Each process predicts its own pages; the first gathers the results and scores them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lmv3det import distributed
from lmv3det.device import autocast
from lmv3det.errors import InputError, printable
from lmv3det.evaluation.classes import ClassMatch, match_classes
from lmv3det.evaluation.coco import KINDS, Evaluation, Result, score
from lmv3det.inference.fitting import fit_to_text
from lmv3det.inference.results import boxes_xywh, encode_masks, in_page_pixels

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lmv3det.data.categories import Category
    from lmv3det.data.coco import CocoDataset
    from lmv3det.inference.views import JoinViews
    from lmv3det.structures import Batch, Detections, Page

log = logging.getLogger(__name__)


def evaluate_detector(
    model: nn.Module,
    dataset: CocoDataset,
    loader: Iterable[Batch],
    categories: Sequence[Category],
    device: torch.device | str,
    *,
    mask_threshold: float = 0.5,
    precision: str = "auto",
    progress: bool = True,
    classes: ClassMatch | None = None,
    views: JoinViews | None = None,
) -> Evaluation | None:
    """Score a detector on a data set.

    Where torch.distributed is initialised every process must call this, with the loader of its
    own pages (`build_test_loader` with rank and world_size); the result is that of one process, as
    long as a page's detections do not depend on the pages it is batched with.

    Args:
        model: a `LayoutDetector` on `device`; left in the mode it was in.
        dataset: the annotated pages.
        loader: batches of the pages of `dataset` that are this process's. Where they have
            `line_boxes`, the regions are fitted to them.
        categories: the model's classes in the order of class indices.
        device: where batches go.
        mask_threshold: probability from which a pixel belongs to a mask.
        precision: the setting of this name.
        progress: show a bar (first process).
        classes: which of the model's classes is which of the data set's; None: by name, all of
            the data set's. Detections of other classes are dropped and counted in a warning.

    Returns:
        The scores in the first process, None in the others.

    Raises:
        InputError: a page that cannot be read (in every process), categories that do not fit.
    """
    from tqdm import tqdm

    if classes is None:
        classes = match_classes(categories, dataset.file_categories)
        if classes.left_out["data"]:
            raise InputError(
                f"{dataset.annotations}: its classes {', '.join(classes.left_out['data'])} are "
                "not among those of the model"
            )
    category_ids = [None if k is None else classes.scored[k].id for k in classes.of_index]
    world = distributed.current(device)
    pages = len(range(world.rank, len(dataset), world.size))
    bar = tqdm(total=pages, desc="evaluate", unit="page", disable=not (progress and world.is_main))
    results: list[Result] = []
    dropped = 0
    with distributed.failing_together(world), bar, _eval_mode(model):
        for found, places in _found(model, loader, device, precision, views):
            for detections in in_page_pixels(found, places):
                known = page_results(detections, category_ids, mask_threshold)
                results += known
                dropped += len(detections) - len(known)
            bar.update(len(found))
    gathered = distributed.gather_to_main((results, dropped), world)
    if gathered is None:
        return None
    dropped = sum(part[1] for part in gathered)
    if dropped:
        log.warning(
            "%s: %d detections are of classes that it does not have (%s), and are left out",
            dataset.annotations, dropped, printable(", ".join(classes.left_out["checkpoint"])),
        )  # fmt: skip
    place = {record.image_id: number for number, record in enumerate(dataset.records)}
    results = [result for part in gathered for result in part[0]]
    results.sort(key=lambda result: place[result["image_id"]])
    has_masks = getattr(model, "mask_head", None) is not None
    return score(dataset, results, KINDS if has_masks else KINDS[:1], classes)


def _found(
    model: nn.Module,
    loader: Iterable[Batch],
    device: torch.device | str,
    precision: str,
    views: JoinViews | None,
) -> Iterator[tuple[list[Detections], list[Page]]]:
    """What is found on the pages of a loader, fitted to their lines where they have some, in the
    pixels of the network input (of the first view), and the pages."""
    waiting = _Waiting(views) if views is not None else None
    for batch in loader:
        batch = batch.to(device, non_blocking=True)
        with autocast(device, precision):
            found = model.predict(batch)  # type: ignore[operator]
        lines: Sequence[Any] = [None] * len(batch)
        if batch.line_boxes is not None:
            lines = batch.line_boxes
        pages = batch.pages
        if waiting is not None:
            found, lines, pages = waiting.complete(found, lines, batch)
        fitted = [
            one if its_lines is None else fit_to_text(one, its_lines)
            for one, its_lines in zip(found, lines, strict=True)
        ]
        yield fitted, pages


class _Waiting:
    """What was found on views of pages of which other views are still to come."""

    def __init__(self, join: JoinViews) -> None:
        self.join = join
        self.seen: dict[int, dict[int, tuple[Detections, Any]]] = {}  # by image id and view

    def complete(
        self, found: Sequence[Detections], lines: Sequence[Any], batch: Batch
    ) -> tuple[list[Detections], list[Any], list[Page]]:
        """The pages of which all views are there with this batch: their joined detections, the
        lines of the first view, and where they come from."""
        joined, of_first, pages = [], [], []
        for one, its_lines, page, view in zip(found, lines, batch.pages, batch.views, strict=True):
            seen = self.seen.setdefault(page.image_id, {})
            seen[view] = one, its_lines
            if len(seen) == len(self.join.flipped):
                joined.append(self.join([seen[number][0] for number in sorted(seen)]))
                of_first.append(seen[0][1])
                pages.append(page)
                del self.seen[page.image_id]
        return joined, of_first, pages


def page_results(
    detections: Detections, category_ids: Sequence[int | None], mask_threshold: float
) -> list[Result]:
    """COCO results of a page by falling score (boxes to 1/1000 pixel).

    Args:
        detections: in page pixels, `page` set.
        category_ids: class index → category id; detections of a class with None are left out.
        mask_threshold: probability from which a pixel belongs to a mask.
    """
    assert detections.page is not None
    image_id = detections.page.image_id
    boxes = boxes_xywh(detections, decimals=3)
    # Eight digits keep the order of float32 scores.
    scores = detections.scores.cpu().double().numpy().round(8).tolist()
    masks = [] if detections.masks is None else encode_masks(detections, mask_threshold)
    results = []
    for number, index in enumerate(detections.classes.tolist()):
        category_id = category_ids[index]
        if category_id is None:
            continue
        result: Result = {
            "image_id": image_id,
            "category_id": category_id,
            "bbox": boxes[number],
            "score": scores[number],
        }
        if masks:
            result["segmentation"] = masks[number]
        results.append(result)
    return results


@contextlib.contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; afterwards every module is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
