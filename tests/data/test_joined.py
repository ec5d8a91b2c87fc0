"""Several data sets in one run: their classes folded and joined, their pages drawn as wished."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from training_helpers import tiny_config

from lmv3det.config import TrainSplitConfig, from_dict, to_dict
from lmv3det.data.class_map import fold_categories, join_categories
from lmv3det.data.coco import CocoDataset
from lmv3det.data.joined import JoinedDataset, page_repeats
from lmv3det.data.sampler import TrainSampler
from lmv3det.data.shards import ShardDataset
from lmv3det.data.write_shards import write_shards
from lmv3det.engine.run import train
from lmv3det.engine.setup import check_files, read_data
from lmv3det.errors import InputError

RATIOS = np.array([1.4] * 7 + [0.7] * 4)


def names(dataset) -> list[str]:
    return [category.name for category in dataset.categories]


def regions(dataset) -> list[list[str]]:
    """Of each page the class names of its regions."""
    return [[names(dataset)[k] for k in dataset[page].classes] for page in range(len(dataset))]


@pytest.fixture(params=["coco", "shards"])
def opened(request, tiny_data, tmp_path):
    """Opens the four pages of `tiny_data` with options, from their folder or from tar files."""

    def read(**options):
        if request.param == "coco":
            return CocoDataset(tiny_data.annotations, tiny_data.images, quiet=True, **options)
        out = tmp_path / "shards"
        if not out.exists():
            write_shards(CocoDataset(tiny_data.annotations, tiny_data.images), out, 2)
        return ShardDataset(f"{out}/pages-{{000..001}}.tar", **options)

    return read


class TestFolding:
    def test_renamed(self, opened) -> None:
        dataset = opened(classes={"text": "Paragraph"})  # case does not count
        assert names(dataset) == ["Table", "Paragraph"]
        assert regions(dataset)[0] == ["Paragraph", "Table", "Paragraph"]

    def test_two_become_one(self, opened) -> None:
        dataset = opened(classes={"Text": "Region", "Table": "Region"})
        assert names(dataset) == ["Region"]
        assert regions(dataset) == [["Region"] * 3, [], ["Region"], ["Region"]]

    def test_one_becomes_another_that_is_there(self, opened) -> None:
        assert names(opened(classes={"Table": "text"})) == ["text"]

    def test_left_out(self, opened) -> None:
        dataset = opened(classes={"Table": None})
        assert regions(dataset) == [["Text", "Text"], [], ["Text"], []]
        assert all(len(dataset[k].boxes) == len(dataset[k].classes) for k in range(4))
        assert len(opened(classes={"Table": None}, keep_empty=False)) == 2

    def test_classes_of_pages(self, opened) -> None:
        assert opened().page_classes().tolist() == [[1, 1], [0, 0], [0, 1], [1, 0]]
        assert opened(classes={"Table": None}).page_classes().tolist() == [[1], [0], [1], [0]]
        kept = opened(classes={"Table": None}, keep_empty=False)
        assert kept.page_classes().tolist() == [[1], [1]]

    def test_a_folding_by_name(self, tiny_data) -> None:
        tiny_data.content["categories"] = [
            {"id": 7, "name": "list item"},
            {"id": 3, "name": "Section header"},
        ]
        tiny_data.save()
        dataset = CocoDataset(tiny_data.annotations, tiny_data.images, classes="cdla")
        assert names(dataset) == ["Title", "Text"]

    def test_annotations_are_folded_too(self, tiny_data) -> None:
        """What is scored, drawn and counted has the same classes as what is trained."""
        dataset = CocoDataset(tiny_data.annotations, tiny_data.images, classes={"Table": None})
        assert [len(record.annotations) for record in dataset.records] == [2, 0, 1, 0]
        folded = CocoDataset(tiny_data.annotations, tiny_data.images, classes={"Table": "Text"})
        assert {a["category_id"] for r in folded.records for a in r.annotations} == {3}

    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            ({"Tabel": "Text"}, "'Tabel', which the file does not have"),
            ("cdl", "it must be cdla, doclaynet"),
            ({"Text": None, "Table": None}, "leaves out every class"),
        ],
    )
    def test_refused(self, opened, classes, message) -> None:
        with pytest.raises(InputError, match=message):
            opened(classes=classes)

    def test_an_older_index_of_shards(self, opened, tmp_path) -> None:
        dataset = opened()
        if isinstance(dataset, CocoDataset):
            return
        index = tmp_path / "shards" / "index.json"
        content = json.loads(index.read_text())
        for shard in content["shards"]:
            del shard["categories"]
        index.write_text(json.dumps(content))
        assert len(opened()) == 4
        with pytest.raises(InputError, match="write the shards again"):
            opened().page_classes()


class TestCategories:
    def test_those_of_one_file_stay(self, tiny_data) -> None:
        own = CocoDataset(tiny_data.annotations, tiny_data.images).categories
        assert join_categories([own]) == own

    def test_joined_by_name(self, tiny_data) -> None:
        own = CocoDataset(tiny_data.annotations, tiny_data.images).categories
        other = fold_categories(own, {"Table": "Figure", "Text": "TEXT"}, "file").categories
        joined = join_categories([own, other])
        assert [(c.id, c.name) for c in joined] == [(1, "Table"), (2, "Text"), (3, "Figure")]

    def test_a_folding_gives_its_classes(self) -> None:
        assert [c.name for c in join_categories([], "publaynet")][:2] == ["text", "title"]
        with pytest.raises(InputError, match=r"data\.classes is 'x'"):
            join_categories([], "x")


def joined_config(tiny_data, tmp_path, **sections):
    split = {"annotations": str(tiny_data.annotations), "images": str(tiny_data.images)}
    config = tiny_config(tiny_data.root, tmp_path / "run", **sections)
    values = to_dict(config)
    values["data"]["train"] = [
        {**split, "classes": {"Text": "Paragraph"}, "weight": 2},
        {**split, "classes": {"Table": None}},
    ]
    values["data"]["val"]["classes"] = {"Text": "Paragraph", "Table": "Table"}
    return from_dict(values)


class TestJoined:
    def test_pages_and_classes(self, tiny_data, tmp_path) -> None:
        config = joined_config(tiny_data, tmp_path)
        check_files(config)
        dataset, val = read_data(config, quiet=True)
        assert isinstance(dataset, JoinedDataset) and len(dataset) == 8
        assert names(dataset) == ["Table", "Paragraph", "Text"] == names(val)
        assert config.model.num_classes == 3
        assert regions(dataset)[0] == ["Paragraph", "Table", "Paragraph"]
        assert regions(dataset)[4] == ["Text", "Text"]
        assert [dataset[k].page.image_id for k in range(8)] == [10, 11, 12, 13] * 2
        assert dataset.page_size(7) == (48, 36)
        assert dataset.aspect_ratios()[4:].tolist() == dataset.aspect_ratios()[:4].tolist()
        assert dataset.share(0, 2) is None

    def test_classes_in_an_order_of_ones_own(self, tiny_data, tmp_path) -> None:
        config = joined_config(tiny_data, tmp_path)
        config.data.classes = ["Text", "Paragraph", "Table", "Figure"]
        dataset, _ = read_data(config, quiet=True)
        assert regions(dataset)[0] == ["Paragraph", "Table", "Paragraph"]
        assert dataset[0].classes.tolist() == [1, 2, 1]
        config.data.classes = ["Paragraph", "Table"]
        config.model.num_classes = None
        with pytest.raises(InputError, match="'Text' is not among"):
            read_data(config, quiet=True)

    def test_shares_with_shards(self, tiny_data, tmp_path) -> None:
        folder = CocoDataset(tiny_data.annotations, tiny_data.images)
        write_shards(folder, tmp_path / "shards", 2)
        shards = ShardDataset(f"{tmp_path}/shards/pages-{{000..001}}.tar")
        dataset = JoinedDataset([folder, shards], folder.categories)
        assert [dataset.share(rank, 2).tolist() for rank in (0, 1)] == [[0, 2, 4, 5], [1, 3, 6, 7]]

    def test_a_missing_file_names_its_entry(self, tiny_data, tmp_path) -> None:
        config = joined_config(tiny_data, tmp_path)
        config.data.train_sets[1].images = "nowhere"
        with pytest.raises(InputError, match=r"data.train\[1\].images is nowhere"):
            check_files(config)
        config.data.train = [TrainSplitConfig()]
        with pytest.raises(InputError, match=r"data.train\[0\].annotations.*is not set"):
            check_files(config)

    def test_trained(self, tiny_data, tmp_path) -> None:
        config = joined_config(tiny_data, tmp_path, solver={"steps": 2})
        assert train(config).exists()


class TestRepeats:
    def test_of_rare_classes(self, tiny_data) -> None:
        dataset = CocoDataset(tiny_data.annotations, tiny_data.images)
        assert page_repeats(dataset, [1.0], 0.0) is None
        # Of four pages, two have each class: √(0.98 / 0.5) = 1.4.
        assert page_repeats(dataset, [1.0], 0.98) == pytest.approx([1.4, 1.0, 1.4, 1.4])
        assert page_repeats(dataset, [1.0], 0.4) is None

    def test_weights_of_data_sets(self, tiny_data) -> None:
        parts = [
            CocoDataset(tiny_data.annotations, tiny_data.images),
            CocoDataset(tiny_data.annotations, tiny_data.images, classes={"Table": None}),
        ]
        dataset = JoinedDataset(parts, parts[0].categories)
        assert page_repeats(dataset, [2.0, 0.5], 0.0).tolist() == [2.0] * 4 + [0.5] * 4
        # Table: 2 pages of weight 2 among a weight of 10, f = 0.4; Text: 2 · 2 + 2 · ½, f = ½.
        found = page_repeats(dataset, [2.0, 0.5], 0.5)
        root = (0.5 / 0.4) ** 0.5
        assert found == pytest.approx([2 * root, 2, 2, 2 * root, 0.5, 0.5, 0.5, 0.5])

    @pytest.mark.parametrize("group", [True, False])
    def test_pages_come_as_often_as_they_should(self, group) -> None:
        repeats = np.array([1.0, 1.5, 3.0, 0.25, 1.0, 1.0, 2.25, 1.0, 0.5, 2.0, 0.5])
        sampler = TrainSampler(RATIOS, 1, seed=3, repeats=repeats, group_by_aspect=group)
        length = sum(sampler.counts)
        assert length == 14 and (not group or sampler.counts == (10, 4))
        pages = [b[0][0] for b in itertools.islice(sampler, 400 * length)]
        for epoch in (pages[:length], pages[7 * length : 8 * length]):
            counts = Counter(epoch)
            for page, wanted in enumerate(repeats):
                assert np.floor(wanted) <= counts[page] <= np.ceil(wanted), page
        found = np.bincount(pages, minlength=11) / 400
        assert np.abs(found - repeats).max() < 0.1

    @pytest.mark.parametrize("group", [True, False])
    def test_a_restart_goes_on(self, group) -> None:
        repeats = np.linspace(0.3, 2.7, len(RATIOS))
        options = {"seed": 5, "world_size": 2, "rank": 1, "group_by_aspect": group}
        whole = list(itertools.islice(TrainSampler(RATIOS, 3, repeats=repeats, **options), 60))
        for start in range(0, 50, 7):
            sampler = TrainSampler(RATIOS, 3, start=start, repeats=repeats, **options)
            assert list(itertools.islice(sampler, 10)) == whole[start : start + 10]

    def test_a_share_repeats_its_own_pages(self) -> None:
        repeats = np.array([3.0, 1.0] * 5 + [3.0])
        share = np.array([0, 2, 5])
        sampler = TrainSampler(RATIOS, 1, seed=0, share=share, repeats=repeats)
        pages = [b[0][0] for b in itertools.islice(sampler, 700)]
        assert Counter(pages) == {0: 300, 2: 300, 5: 100}
