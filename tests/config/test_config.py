"""Settings: bases, overrides, and errors that name what is wrong and where."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
import torch
import yaml

from lmv3det.config import (
    Config,
    bases,
    flatten,
    from_dict,
    load_config,
    to_dict,
    to_yaml,
    walk,
)
from lmv3det.config.yaml_text import SettingsLoader, parse_yaml
from lmv3det.errors import InputError
from lmv3det.model.detector import build_detector

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
# Keys that other programs and users' files rely on.
RELIED_ON = {
    "": "output_dir seed device precision",
    "model.": "weights num_classes mask_on",
    "data.train.": "annotations images ocr",
    "data.val.": "annotations images ocr",
    "input.": "min_size_train max_size_train min_size_test max_size_test",
    "solver.": "steps batch_size lr grad_accum_steps",
    "test.": "score_threshold nms_threshold detections_per_page",
    "text.": "selection first_k max_tokens drop_unk drop_word_start reading_order tokenizer",
    "fusion.": "kind levels reduce",
    "relation.": "enabled",
}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def message(path: Path | None, *overrides: str) -> str:
    """What the error says; one line."""
    with pytest.raises(InputError) as caught:
        load_config(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestKeys:
    def test_keys_that_others_rely_on(self) -> None:
        keys = {key for key, _ in walk()}
        wanted = {prefix + name for prefix, names in RELIED_ON.items() for name in names.split()}
        assert wanted <= keys

    def test_defaults_of_the_original(self) -> None:
        config = load_config()
        assert config.solver.lr == 2e-4 and config.solver.weight_decay == 0.05
        assert config.input.min_size_train == list(range(480, 801, 32))
        assert (config.input.min_size_test, config.input.max_size_test) == (800, 1333)
        assert config.roi.iou_thresholds == [0.5, 0.6, 0.7] and config.seed == 42
        assert config.test.score_threshold == 0.05 and config.fusion.kind == "none"

    def test_two_configs_share_no_lists(self) -> None:
        first, second = load_config(), load_config()
        first.backbone.out_indices.append(99)
        assert second.backbone.out_indices == [3, 5, 7, 11]


class TestBase:
    def test_a_chain(self, tmp_path: Path) -> None:
        write(tmp_path / "a.yaml", "seed: 1\nsolver: {lr: 1e-3, steps: 5000}\n")
        (tmp_path / "sub").mkdir()
        write(tmp_path / "sub" / "b.yaml", "base: ../a.yaml\nsolver: {steps: 6000}\n")
        path = write(tmp_path / "sub" / "c.yaml", "base: b.yaml\nsolver: {batch_size: 2}\n")
        config = load_config(path)
        assert config.seed == 1 and config.solver.lr == 1e-3
        assert config.solver.steps == 6000 and config.solver.batch_size == 2

    def test_lists_are_replaced_not_joined(self, tmp_path: Path) -> None:
        write(tmp_path / "a.yaml", "input: {min_size_train: [1, 2, 3]}\n")
        path = write(tmp_path / "b.yaml", "base: a.yaml\ninput: {min_size_train: [9]}\n")
        assert load_config(path).input.min_size_train == [9]

    def test_null_takes_back_what_the_base_says(self, tmp_path: Path) -> None:
        write(tmp_path / "a.yaml", "model: {num_classes: 5}\n")
        path = write(tmp_path / "b.yaml", "base: a.yaml\nmodel: {num_classes: null}\n")
        assert load_config(path).model.num_classes is None

    def test_cycles(self, tmp_path: Path) -> None:
        write(tmp_path / "a.yaml", "base: b.yaml\n")
        write(tmp_path / "b.yaml", "base: a.yaml\n")
        assert "leads back" in message(tmp_path / "a.yaml")
        assert "leads back" in message(write(tmp_path / "c.yaml", "base: c.yaml\n"))

    def test_a_base_that_is_not_there(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.yaml", "base: none.yaml\n")
        assert "none.yaml: no such config file" in message(path)

    def test_two_files_on_one_base(self, tmp_path: Path) -> None:
        """The same file met again is no cycle unless it leads back to itself."""
        write(tmp_path / "a.yaml", "seed: 3\n")
        write(tmp_path / "b.yaml", "base: a.yaml\n")
        assert load_config(write(tmp_path / "c.yaml", "base: b.yaml\n")).seed == 3


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("override", "near"),
        [
            ("steps=3", "solver.steps"),
            ("lr=1", "solver.lr"),
            ("solver.step=3", "solver.steps"),
            ("solvr.steps=3", "solver"),
            ("outputdir=x", "output_dir"),
            ("solver.batchsize=3", "solver.batch_size"),
            ("num_classes=3", "model.num_classes"),
            ("solver.mask_on=true", "model.mask_on"),
            ("data.train.anotations=x", "data.train.annotations"),
            ("train.annotations=x", "data.train"),
            ("score_treshold=0.3", "test.score_threshold"),
            ("text.select=all", "text.selection"),
        ],
    )
    def test_nearest_key_is_named_in_full(self, override: str, near: str) -> None:
        text = message(None, override)
        assert f"did you mean {near!r}?" in text and override in text

    def test_several_of_the_same_name(self) -> None:
        assert "'roi.box_loss' or 'rpn.box_loss'" in message(None, "box_loss=giou")

    def test_nothing_near_nothing_named(self) -> None:
        text = message(None, "zzzzzz=3")
        assert "unknown setting 'zzzzzz'" in text and "did you mean" not in text

    @pytest.mark.parametrize(
        ("text", "key"),
        [("sed: 3\n", "sed"), ("solver:\n  stepz: 3\n", "solver.stepz"),
         ("data:\n  val:\n    image: x\n", "data.val.image")],
    )  # fmt: skip
    def test_in_a_file_at_each_level(self, tmp_path: Path, text: str, key: str) -> None:
        said = message(write(tmp_path / "a.yaml", text))
        assert f"a.yaml: unknown setting {key!r} (did you mean" in said


class TestTypes:
    @pytest.mark.parametrize(
        "override",
        [
            "seed=true",
            "seed=1.5",
            "seed='3'",
            "solver.lr=fast",
            "solver.lr='0.1'",
            "solver.lr=true",
            "solver.lr=",
            "model.mask_on=1",
            "model.mask_on=yes",
            "output_dir=3",
            "backbone.out_indices=3",
            "backbone.out_indices=[a, b, c, d]",
            "precision=fp8",
            "data.train=x",
            "data=null",
            "model.num_classes=0",
            "text.selection=[all]",
        ],
    )
    def test_wrong_ones(self, override: str) -> None:
        key, _, _ = override.partition("=")
        text = message(None, override)
        assert key in text.replace(override, "", 1), text

    @pytest.mark.parametrize(
        ("text", "value"),
        [("2e-4", 2e-4), ("1", 1.0), ("1E-3", 1e-3), ("5.e-1", 0.5), ("0.1", 0.1)],
    )
    def test_numbers(self, text: str, value: float) -> None:
        assert load_config(None, [f"solver.lr={text}"]).solver.lr == value

    @pytest.mark.parametrize("text", ["true", "True", "TRUE"])
    def test_booleans(self, text: str) -> None:
        assert load_config(None, [f"relation.enabled={text}"]).relation.enabled is True

    def test_off_is_a_word(self, tmp_path: Path) -> None:
        assert load_config(None, ["output_dir=off"]).output_dir == "off"
        assert load_config(write(tmp_path / "a.yaml", "output_dir: off\n")).output_dir == "off"

    def test_null_and_lists(self) -> None:
        overrides = ["model.num_classes=null", "input.min_size_train=[640, 672]"]
        config = load_config(None, overrides)
        assert config.model.num_classes is None and config.input.min_size_train == [640, 672]

    def test_values_with_equals_signs_and_chinese(self) -> None:
        assert load_config(None, ["output_dir=a=b"]).output_dir == "a=b"
        assert load_config(None, ["output_dir=输出"]).output_dir == "输出"


class TestContradictions:
    @pytest.mark.parametrize(
        ("overrides", "said"),
        [
            (["fusion.kind=gated"], "text.selection"),
            (["fusion.kind=gatd", "text.selection=all"], "did you mean 'gated'?"),
            (["backbone.hidden_size=770"], "a multiple of backbone.heads (12)"),
            (["backbone.heads=0"], "backbone.heads is 0"),
            (["backbone.max_2d_positions=1000"], "from 1001"),
            (["backbone.pad_token_id=50265"], "from 0 to 50264"),
            (["backbone.input_size=230"], "a multiple of the patches' side"),
            (["backbone.spatial_buckets=2"], "backbone.spatial_buckets is 2"),
            (["backbone.spatial_max_distance=16"], "from 17"),
            (["backbone.layer_norm_eps=0"], "more than 0"),
            (["seed=-1"], "seed is -1"),
            (["seed=4294967296"], "below 2^32"),
            (["input.min_size_train=[1000000000000]"], "input.min_size_train is 1000000000000"),
            (["solver.eps=-1"], "solver.eps"),
            (["solver.warmup_factor=2"], "solver.warmup_factor"),
            (["rpn.smooth_l1_beta=-1"], "rpn.smooth_l1_beta"),
            (["backbone.coordinate_size=100"], "coordinate_size"),
            (["backbone.layers=6"], "layer numbers from 0 to 5"),
            (["backbone.out_indices=[3, 3, 7, 11]"], "four rising layer numbers"),
            (["backbone.out_indices=[]"], "four rising layer numbers"),
            (["text.selection=all", "text.max_tokens=600"], "512"),
            (["rpn.negative_iou=0.8"], "rpn.negative_iou"),
            (["rpn.batch_size_per_image=0"], "more than 0"),
            (["rpn.anchor_sizes=[32, 64]"], "5 sizes"),
            (["rpn.anchor_sizes=[0, 1, 2, 3, 4]"], "anchor_sizes"),
            (["rpn.box_weights=[1, 1]"], "4 weights"),
            (["roi.iou_thresholds=[0.5]"], "roi.iou_thresholds"),
            (["roi.box_weights=[[1, 1], [1, 1], [1, 1]]"], "four weights"),
            (["roi.pool_size=0"], "roi.pool_size"),
            (["relation.dim=100"], "a multiple of 8"),
            (["relation.heads=0"], "relation.heads"),
            (["test.score_threshold=5"], "from 0 to 1"),
            (["solver.batch_size=0"], "1 or more"),
            (["solver.lr=-1"], "0 or more"),
            (["solver.lr=.nan"], "solver.lr"),
            (["solver.lr=.inf"], "finite"),
            (["solver.betas=[0.9]"], "two numbers"),
            (["input.size_divisibility=16"], "multiple of 32"),
            (["input.min_size_train=[]"], "at least one size"),
            (["input.pixel_std=[1, 1, 0]"], "more than 0"),
            (["fusion.levels=[6]", "text.selection=all"], "levels from 2 to 5"),
        ],
    )
    def test_said(self, overrides: list[str], said: str) -> None:
        assert said in message(None, *overrides)

    def test_long_warmup_on_purpose(self) -> None:
        overrides = ["solver.steps=500", "solver.allow_long_warmup=true"]
        assert load_config(None, overrides).solver.steps == 500


class TestOverrides:
    def test_the_one_at_fault_is_named(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.yaml", "seed: 1\n")
        text = message(path, "output_dir=x", "solver.lr=fast", "seed=3")
        assert text.startswith(f"{path} with solver.lr=fast: ")

    def test_the_file_at_fault_is_named_without_them(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.yaml", "solver: {lr: fast}\n")
        assert message(path, "output_dir=x", "seed=3").startswith(f"{path}: solver.lr")
        assert load_config(path, ["solver.lr=0.1"]).solver.lr == 0.1  # put right from outside

    def test_two_that_contradict_each_other(self) -> None:
        text = message(None, "seed=4", "backbone.heads=5", "backbone.hidden_size=771")
        assert text.startswith("config with backbone.heads=5 backbone.hidden_size=771: ")

    def test_two_that_are_right_together_alone(self) -> None:
        config = load_config(None, ["backbone.heads=5", "backbone.hidden_size=770",
                                    "backbone.coordinate_size=150",
                                    "backbone.shape_size=85"])  # fmt: skip
        assert (config.backbone.heads, config.backbone.hidden_size) == (5, 770)

    def test_the_last_one_holds(self) -> None:
        assert load_config(None, ["seed=1", "seed=2"]).seed == 2

    def test_over_the_file(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.yaml", "solver: {lr: 0.1, batch_size: 7}\n")
        config = load_config(path, ["solver.lr=0.2"])
        assert config.solver.lr == 0.2 and config.solver.batch_size == 7

    def test_a_section_keeps_what_it_does_not_name(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.yaml", "solver: {lr: 0.1, batch_size: 7}\n")
        config = load_config(path, ["solver={lr: 0.2}"])
        assert config.solver.lr == 0.2 and config.solver.batch_size == 7

    @pytest.mark.parametrize(
        "override", ["seed", "=3", "seed=[1", "seed.x=3", "solver.lr.x=1", ".=1", "solver.=1"]
    )
    def test_malformed(self, override: str) -> None:
        assert override in message(None, override)

    def test_below_a_setting(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.yaml", "seed: 3\n")
        assert "'seed' is 3 in the config, not a section" in message(path, "seed.x=1")


class TestFiles:
    def test_missing(self, tmp_path: Path) -> None:
        assert "no such config file" in message(tmp_path / "none.yaml")

    def test_folder(self, tmp_path: Path) -> None:
        assert "cannot be read" in message(tmp_path)

    def test_not_utf8(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_bytes("output_dir: 输出\n".encode("gbk"))
        assert "a.yaml: cannot be read" in message(tmp_path / "a.yaml")

    def test_python_tags_are_refused(self, tmp_path: Path) -> None:
        marker = tmp_path / "marker"
        path = write(tmp_path / "a.yaml", f"seed: !!python/object/apply:os.mkdir ['{marker}']\n")
        assert "a.yaml: line 1: refused" in message(path)
        assert not marker.exists()
        assert "refused" in message(None, f"seed=!!python/object/apply:os.mkdir ['{marker}']")
        assert not marker.exists()

    @pytest.mark.parametrize("text", ["a: [1\n", "a: b: c\n", "\tseed: 3\n", "seed: 3\n- x\n"])
    def test_malformed(self, tmp_path: Path, text: str) -> None:
        assert "a.yaml: not YAML" in message(write(tmp_path / "a.yaml", text))

    @pytest.mark.parametrize("text", ["[1, 2]\n", "words\n", "3\n"])
    def test_not_a_mapping(self, tmp_path: Path, text: str) -> None:
        assert "not a mapping" in message(write(tmp_path / "a.yaml", text))

    def test_the_same_key_twice(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.yaml", "solver: {lr: 1.0}\nseed: 3\nsolver: {steps: 9000}\n")
        assert "'solver' occurs twice" in message(path)

    @pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n"])
    def test_an_empty_file_is_the_defaults(self, tmp_path: Path, text: str) -> None:
        assert load_config(write(tmp_path / "a.yaml", text)) == Config()

    def test_an_empty_section(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.yaml", "solver:\nseed: 3\n")
        assert "solver is None; it must be a mapping" in message(path)


class TestRoundTrip:
    @pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
    def test_shipped_configs(self, path: Path, tmp_path: Path) -> None:
        config = load_config(path)
        assert load_config(write(tmp_path / "again.yaml", to_yaml(config))) == config
        assert from_dict(to_dict(config)) == config

    @pytest.mark.parametrize(
        "word", ["off", "true", "null", "2e-4", "1e5", "12", "~", "输出 a: b", ""]
    )
    def test_words_that_look_like_something_else(self, tmp_path: Path, word: str) -> None:
        config = from_dict({"output_dir": word, "solver": {"schedule": "constant", "eps": 1e-8}})
        assert load_config(write(tmp_path / "a.yaml", to_yaml(config))) == config

    @pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
    def test_shipped_configs_build(self, path: Path) -> None:
        with torch.device("meta"):
            model = build_detector(load_config(path))
        assert sum(p.numel() for p in model.parameters()) > 1e5


def test_configs_are_found() -> None:
    assert len(CONFIGS) >= 15, os.fspath(CONFIGS[0].parent) if CONFIGS else "no configs"


class TestNotFinite:
    def test_in_every_number(self) -> None:
        """No setting takes NaN or infinity, alone or in a list."""
        tried = 0
        for key, default in flatten(to_dict(Config())):
            shape = "{}"
            while isinstance(default, list) and default:
                default, shape = default[0], f"[{shape}]"
            for word in (".nan", ".inf", "-.inf") if isinstance(default, float) else ():
                override = f"{key}={shape.format(word)}"
                assert key in message(None, override).replace(override, "", 1)
                tried += 1
        assert tried > 80

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), 7.0])
    def test_from_python(self, value: float) -> None:
        with pytest.raises(InputError, match=r"test\.score_threshold"):
            from_dict({"test": {"score_threshold": value}})


class TestSizes:
    """A few letters of a foreign config do not fill the memory."""

    @pytest.mark.parametrize(
        "override",
        ["backbone.layers=30000", "relation.layers=100000", "mask.convs=100000",
         "roi.pool_size=9999", "backbone.vocab_size=1000000000", "neck.out_channels=1000000",
         "model.num_classes=1000000",
         "backbone.intermediate_size=1000000000"],
    )  # fmt: skip
    def test_of_the_model(self, override: str) -> None:
        key, _, value = override.partition("=")
        assert f"{key} is {value}; it must be from" in message(None, override)

    def test_of_the_cascade(self) -> None:
        thresholds = f"roi.iou_thresholds={[0.5] * 11}"
        assert "10 stages" in message(None, thresholds, f"roi.box_weights={[[1.0] * 4] * 11}")


def bomb(first: str, join: str) -> str:
    """YAML of 1 KB whose values, with the aliases written out, are 9^9 in number."""
    items = [f"&a {first}"]
    for below, name in itertools.pairwise("abcdefghij"):
        items.append(f"&{name} {join.format(', '.join(['*' + below] * 9))}")
    return f"[{', '.join(items)}]"


class TestHostileText:
    @pytest.mark.parametrize("join", ["[{}]", "{{<<: [{}]}}", "{{x: [{}]}}"])
    def test_aliases_that_grow(self, tmp_path: Path, join: str) -> None:
        path = write(tmp_path / "a.yaml", f"output_dir: {bomb('{x: 1}', join)}\n")
        assert path.stat().st_size < 1100
        assert "a.yaml: holds more than 1000000 characters" in message(path)
        assert "holds more than" in message(None, f"output_dir={bomb('[1]', '[{}]')}")

    def test_aliases_of_a_long_text(self, tmp_path: Path) -> None:
        text = f"a: &a {'x' * 9000}\nb: [{', '.join(['*a'] * 900)}]\n"
        assert "holds more than" in message(write(tmp_path / "a.yaml", text))

    def test_few_aliases_are_fine(self, tmp_path: Path) -> None:
        text = "rpn: &same {box_loss: giou, smooth_l1_beta: 0.5}\nroi: *same\n"
        config = load_config(write(tmp_path / "a.yaml", text))
        assert config.roi.box_loss == "giou" and config.roi.smooth_l1_beta == 0.5

    @pytest.mark.parametrize("text", ["seed: &a [*a]\n", "&a seed: &b {x: *b}\n", "&a x: *a\n"])
    def test_a_value_within_itself(self, tmp_path: Path, text: str) -> None:
        said = message(write(tmp_path / "a.yaml", text))
        assert "contains itself" in said or "unknown setting" in said

    @pytest.mark.parametrize("depth", [60, 400, 20000])
    @pytest.mark.parametrize("pair", ["[]", "{}"])
    def test_deep_nesting(self, tmp_path: Path, depth: int, pair: str) -> None:
        inner = pair[0] * depth if pair == "[]" else "{a: " * depth
        text = f"seed: {inner}{pair[1] * depth}\n"
        assert "nested deeper than 50 levels" in message(write(tmp_path / "a.yaml", text))
        assert "nested deeper than 50 levels" in message(None, f"data={inner}{pair[1] * depth}")

    def test_deep_nesting_is_not_read_to_its_end(self) -> None:
        """PyYAML's time grows with the square of the depth."""
        read = []

        class Counting(SettingsLoader):
            def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
                read.append(token)
                super().fetch_flow_collection_start(token)

        with pytest.raises(ValueError, match="nested deeper than 50 levels"):
            parse_yaml("[" * 900, Counting)
        assert len(read) == 51

    @pytest.mark.parametrize(
        "value",
        ["2001-99-99", "9" * 5000, "0x_", '"\\ud800"', "!!binary x", "!!set {a, b}", "? [a]"],
    )
    def test_values_that_yaml_itself_trips_over(self, value: str) -> None:
        assert message(None, f"seed={value}")

    def test_python_values_that_grow_or_contain_themselves(self) -> None:
        grown: list = ["x"]
        for _ in range(30):
            grown = [grown, grown]
        with pytest.raises(InputError, match="holds more than"):
            from_dict({"output_dir": grown})
        circle: dict = {}
        circle["data"] = circle
        with pytest.raises(InputError, match="contains itself"):
            from_dict(circle)

    @pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "fifo"])
    def test_what_is_no_file(self, tmp_path: Path, device: str) -> None:
        if device == "fifo":
            device = str(tmp_path / "fifo")
            os.mkfifo(device)
        assert f"{device}: not a file of settings" in message(Path(device))
        path = write(tmp_path / "a.yaml", f"base: {device}\n")
        assert "not a file of settings" in message(path)

    @pytest.mark.parametrize("name", ["~nobody-here/a.yaml", "x" * 5000, "loop.yaml", "a/" * 3000])
    def test_paths_that_cannot_be(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
        assert message(write(tmp_path / "a.yaml", f"base: {name}\n"))
        assert message(tmp_path / name)

    def test_a_file_that_is_too_large(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.yaml", "# " + "x" * 1_000_000)
        assert "larger than 1000000 bytes" in message(path)

    @pytest.mark.parametrize("base", ["[a]", "{a: b}", "3", "true", '""', '"a\\0b"'])
    def test_a_base_that_is_no_name(self, tmp_path: Path, base: str) -> None:
        assert "a.yaml: base is" in message(write(tmp_path / "a.yaml", f"base: {base}\n"))


class TestBundledConfigs:
    def test_by_name_from_any_folder(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert load_config("af2") == load_config(CONFIGS[0].parent / "af2.yaml")
        path = write(tmp_path / "mine.yaml", "base: af2\nseed: 3\n")
        config = load_config(path)
        assert config.fusion.kind == "gated" and config.seed == 3
        assert [p.stem for p in bases(path)] == ["af2", "we_f3", "base"]

    def test_ones_own_come_first(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "configs").mkdir()
        write(tmp_path / "configs" / "af2.yaml", "seed: 7\n")
        assert load_config("af2").seed == 7
        # A base by name is looked for beside the file that names it.
        write(tmp_path / "mine.yaml", "base: af2\n")
        assert load_config(tmp_path / "mine.yaml").fusion.kind == "gated"
        write(tmp_path / "af2.yaml", "seed: 8\n")
        assert load_config(tmp_path / "mine.yaml").seed == 8

    def test_a_name_that_none_has(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no config named 'af3'.*did you mean 'af.'.*tiny"):
            load_config("af3")
        path = write(tmp_path / "mine.yaml", "base: af_2\n")
        assert "mine.yaml: base: no config named 'af_2'" in message(path)

    def test_a_path_of_the_repository_elsewhere(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        said = message(Path("configs/af2.yaml"))
        assert "no such config file" in said and "'af2' alone names the package's own" in said
