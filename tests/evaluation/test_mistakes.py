"""Matches, kinds of mistakes and their costs, and the parts of an analysis."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pycocotools.cocoeval import COCOeval
from tiny_detector import CATEGORIES

from lmv3det.data.coco import CocoDataset
from lmv3det.evaluation.analysis import analyse
from lmv3det.evaluation.coco import Problem, score
from lmv3det.evaluation.matches import collect
from lmv3det.evaluation.mistakes import CODES, KINDS, iou_matrix, sort_mistakes

WHOLE = [(0, np.inf)]


def dataset(data, regions, pages=1, size=100) -> CocoDataset:
    """Pages of `size` pixels with regions (page, category id, bbox)."""
    data.content["images"] = []
    for k in range(pages):
        Image.new("RGB", (size, size), "white").save(data.images / f"page{k}.png")
        data.content["images"].append(
            {"id": k, "file_name": f"page{k}.png", "width": size, "height": size}
        )
    data.content["annotations"] = [
        {"id": n, "image_id": page, "category_id": category, "bbox": bbox}
        for n, (page, category, bbox) in enumerate(regions, start=1)
    ]
    data.save()
    return CocoDataset(data.annotations, data.images, categories=CATEGORIES)


def detections(*entries):
    return [
        {"image_id": page, "category_id": category, "bbox": bbox, "score": score}
        for page, category, bbox, score in entries
    ]


def kinds_of(problem):
    (matches,) = collect(problem, WHOLE)
    mistakes = sort_mistakes(matches)
    order = np.argsort(-matches.score)
    return [CODES[k] for k in mistakes.kind[order]], mistakes


def test_every_kind(tiny_data):
    """Table is 3, Text is 7. One detection of each kind on a page."""
    truth = [
        (0, 7, [0, 0, 20, 10]),  # found twice
        (0, 7, [0, 20, 20, 10]),  # called a table
        (0, 7, [0, 40, 20, 10]),  # badly placed
        (0, 3, [0, 60, 20, 10]),  # missed
        (0, 3, [50, 60, 20, 10]),  # called text, and badly placed
    ]
    found = detections(
        (0, 7, [0, 0, 20, 10], 0.99),
        (0, 7, [1, 0, 20, 10], 0.9),
        (0, 3, [0, 20, 20, 10], 0.8),
        (0, 7, [12, 40, 20, 10], 0.7),
        (0, 7, [62, 60, 20, 10], 0.6),
        (0, 7, [70, 0, 20, 10], 0.5),
    )
    kinds, mistakes = kinds_of(Problem(dataset(tiny_data, truth), found))
    assert kinds == ["correct", "duplicate", "wrong class", "badly placed", "both", "background"]
    assert mistakes.missed.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("kind", KINDS)
def test_cost_of_a_single_mistake_is_all_that_is_lost(tiny_data, kind):
    """With one mistake alone, correcting its kind brings AP50 from what it is to 100."""
    truth = [(0, 7, [0, 0, 20, 10]), (0, 7, [0, 20, 20, 10]), (0, 3, [50, 50, 20, 10])]
    found = [
        (0, 7, [0, 0, 20, 10], 0.7),
        (0, 7, [0, 20, 20, 10], 0.6),
        (0, 3, [50, 50, 20, 10], 0.5),
    ]
    change = {
        "missed": lambda: found.pop(1),
        "wrong class": lambda: found.__setitem__(1, (0, 3, [0, 20, 20, 10], 0.9)),
        "badly placed": lambda: found.__setitem__(1, (0, 7, [12, 20, 20, 10], 0.9)),
        "both": lambda: found.append((0, 3, [12, 20, 20, 10], 0.9)),
        "duplicate": lambda: found.insert(1, (0, 7, [1, 0, 20, 10], 0.65)),
        "background": lambda: found.append((0, 7, [70, 0, 20, 10], 0.9)),
    }
    change[kind]()
    data = dataset(tiny_data, truth)
    results = detections(*found)
    ap50 = score(data, results, ["bbox"]).metrics["bbox"]["AP50"]
    assert ap50 < 99
    _, mistakes = kinds_of(Problem(data, results))
    assert mistakes.cost[kind] == pytest.approx(100 - ap50)
    assert all(cost == 0 for other, cost in mistakes.cost.items() if other != kind)


def random_results(data, generator):
    results = []
    for annotation in data.content["annotations"] * 2:
        x, y, w, h = np.array(annotation["bbox"]) + generator.normal(0, 3, 4)
        box = [float(x), float(y), float(max(w, 1)), float(max(h, 1))]
        category = int(generator.choice([3, 7]))
        results.append((annotation["image_id"], category, box, round(generator.random(), 2)))
    return detections(*results)


def random_truth(generator, pages=6):
    return [
        (int(page), int(generator.choice([3, 7])), (generator.random(4) * 45 + 5).tolist())
        for page in generator.integers(0, pages, 40)
    ]


def test_average_precision_is_that_of_pycocotools(tiny_data):
    """On random pages with equal scores, overall, by area and by page."""
    generator = np.random.default_rng(0)
    data = dataset(tiny_data, random_truth(generator), pages=6)
    results = random_results(tiny_data, generator)
    problem = Problem(data, results)
    areas = [(0, np.inf), (0, 0.05), (0.05, np.inf)]
    coco: COCOeval = problem.match("bbox", areas)
    coco.accumulate()
    for k, matches in enumerate(collect(problem, areas)):
        precision = coco.eval["precision"][..., k, -1].mean(axis=1)  # IoU thresholds × classes
        assert matches.average_precision() == pytest.approx(precision, abs=1e-12)
    (whole,) = collect(problem, WHOLE)
    chosen = np.array([True, False, True, True, False, False])
    part = whole.of_pages(chosen).average_precision()
    kept = {0, 2, 3}
    smaller = dataset(
        tiny_data,
        [(a["image_id"], a["category_id"], a["bbox"]) for a in tiny_data.content["annotations"]
         if a["image_id"] in kept], pages=6,
    )  # fmt: skip
    alone = score(smaller, [r for r in results if r["image_id"] in kept], ["bbox"])
    expected = alone.precision["bbox"].mean(axis=1)
    assert part == pytest.approx(expected, abs=1e-12)


def test_iou_matrix():
    boxes = np.array([[0.0, 0, 10, 10], [5, 5, 15, 15], [20, 20, 20, 30]])
    expected = [[1, 25 / 175, 0], [25 / 175, 1, 0], [0, 0, 0]]
    assert iou_matrix(boxes, boxes) == pytest.approx(np.array(expected))


def test_analysis(tiny_data):
    """Two pages; one region is missed, one is called by a wrong name, one is found."""
    truth = [(0, 7, [0, 0, 50, 50]), (0, 3, [60, 60, 5, 5]), (1, 7, [0, 0, 30, 30])]
    data = dataset(tiny_data, truth, pages=2)
    results = detections(
        (0, 7, [0, 0, 50, 50], 0.9), (1, 3, [0, 0, 30, 30], 0.8), (1, 7, [60, 60, 9, 9], 0.05)
    )
    evaluation = score(data, results, ["bbox"])
    run = analyse(data, results, evaluation, None, "run")
    # Text has its best F1 at 0.9; Table, never found, keeps the default of 0.5.
    assert run.thresholds.tolist() == [0.5, pytest.approx(0.8999)]
    assert run.confusion.tolist() == [[0, 0, 1], [1, 1, 0], [0, 0, 0]]
    counts = {kind: values.tolist() for kind, values in run.of_page.items() if values.any()}
    assert counts == {"missed": [1, 0], "wrong class": [0, 1]}
    assert [group.regions for group in run.by_size] == [1, 1, 1]
    assert [group.ap for group in run.by_size] == [0.0, 0.0, pytest.approx(100)]
    assert [(g.pages, g.regions) for g in run.by_count] == [(2, 3), (0, 0), (0, 0), (0, 0)]
    assert run.by_count[1].ap is None
    filled = {bin.low: (bin.count, bin.correct) for bin in run.calibration if bin.count}
    assert filled == {0.0: (1, 0.0), 0.8: (1, 0.0), 0.9: (1, 1.0)}
    assert run.calibration_error == pytest.approx((0.05 + 0.8 + 0.1) / 3)


def test_crowds_are_no_mistakes(tiny_data):
    data = dataset(tiny_data, [(0, 7, [0, 0, 50, 50]), (0, 7, [50, 50, 50, 50])])
    tiny_data.content["annotations"][1]["iscrowd"] = 1
    tiny_data.save()
    data = CocoDataset(tiny_data.annotations, tiny_data.images, categories=CATEGORIES)
    kinds, mistakes = kinds_of(
        Problem(data, detections((0, 7, [0, 0, 50, 50], 0.9), (0, 7, [60, 60, 20, 20], 0.8)))
    )
    assert kinds == ["correct", "ignored"] and not mistakes.missed.any()
    assert all(cost == 0 for cost in mistakes.cost.values())
