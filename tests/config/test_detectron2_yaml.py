"""detectron2 yamls of the LayoutLMv3 example."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lmv3det.cli import main
from lmv3det.config import Config, from_dict, load_config
from lmv3det.config.detectron2_yaml import convert_config, literals, to_detectron2_yaml
from lmv3det.errors import InputError

# The family's shape, with values of our own choosing.
YAML = """
MODEL:
  MASK_ON: True
  IMAGE_ONLY: True
  META_ARCHITECTURE: VLGeneralizedRCNN
  PIXEL_MEAN: [127.5, 127.5, 127.5]
  PIXEL_STD: [127.5, 127.5, 127.5]
  WEIGHTS: /models/pytorch_model.bin
  VIT:
    NAME: layoutlmv3_base
    OUT_FEATURES: [layer3, layer5, layer7, layer11]
    DROP_PATH: 0.1
    IMG_SIZE: [224, 224]
    POS_TYPE: abs
  ROI_HEADS:
    NAME: CascadeROIHeads
    NUM_CLASSES: 5
    SCORE_THRESH_TEST: 0.2
  ROI_BOX_HEAD: {POOLER_RESOLUTION: 7, CLS_AGNOSTIC_BBOX_REG: True}
  ANCHOR_GENERATOR:
    SIZES: [[24], [48], [96], [192], [384]]
    ASPECT_RATIOS: [[0.25, 1, 4.0]]
  RPN: {PRE_NMS_TOPK_TRAIN: 1500, PRE_NMS_TOPK_TEST: 900}
  RESNETS: {DEPTH: 50, NORM: FrozenBN}
DATASETS:
  TRAIN: ("publaynet_train",)
SOLVER:
  GRADIENT_ACCUMULATION_STEPS: 4
  BASE_LR: 2e-4
  WARMUP_ITERS: 1000
  WARMUP_FACTOR: 0.01
  IMS_PER_BATCH: 8
  MAX_ITER: 60000
  CHECKPOINT_PERIOD: 2000
  LR_SCHEDULER_NAME: WarmupCosineLR
  AMP: {ENABLED: True}
  CLIP_GRADIENTS: {ENABLED: True, CLIP_TYPE: full_model, CLIP_VALUE: 0.5}
  WEIGHT_DECAY: 0.05
TEST: {EVAL_PERIOD: 4000}
INPUT:
  CROP: {ENABLED: True, TYPE: absolute_range, SIZE: "(384, 600)"}
  MIN_SIZE_TRAIN: (480, 512, 544)
  FORMAT: RGB
AUG: {DETR: True}
SEED: 7
"""


@pytest.fixture
def their(tmp_path: Path):
    def write(text: str, name: str = "their.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def config_of(path: Path) -> Config:
    return from_dict(convert_config(path).values)


def test_what_is_said_is_taken_over(their):
    config = config_of(their(YAML))
    assert config.seed == 7
    assert config.model.weights == "/models/pytorch_model.bin" and config.model.num_classes == 5
    assert config.input.min_size_train == [480, 512, 544]
    assert config.rpn.anchor_sizes == [24, 48, 96, 192, 384]
    assert config.rpn.aspect_ratios == [0.25, 1.0, 4.0]
    assert (config.rpn.pre_nms_train, config.rpn.pre_nms_test) == (1500, 900)
    assert config.test.score_threshold == 0.2
    assert config.solver.lr == 2e-4 and config.solver.max_grad_norm == 0.5
    assert config.solver.schedule == "cosine" and config.precision == "auto"


def test_iterations_become_optimizer_steps(their):
    solver = config_of(their(YAML)).solver
    assert (solver.steps, solver.warmup_steps, solver.checkpoint_every) == (15000, 250, 500)
    assert (solver.batch_size, solver.grad_accum_steps, solver.evaluate_every) == (32, 4, 1000)


def test_silence_means_detectron2_s_default(their):
    config = config_of(their(YAML))
    assert config.rpn.box_loss == config.roi.box_loss == "smooth_l1"
    assert config.data.keep_empty is False
    sparse = config_of(their("MODEL: {MASK_ON: True}"))
    assert sparse.solver.schedule == "multistep" and sparse.solver.milestones == [30000]
    assert sparse.solver.max_grad_norm == 0.0 and sparse.precision == "fp32"
    assert sparse.rpn.pre_nms_test == 6000


def test_what_is_left_out_is_listed_with_its_reason(their):
    converted = convert_config(their(YAML))
    left = {key: why for key, _, why in converted.left_out}
    assert set(left) == {
        "MODEL.VIT.DROP_PATH",
        "MODEL.VIT.IMG_SIZE",
        "MODEL.VIT.POS_TYPE",
        "MODEL.RESNETS.DEPTH",
        "MODEL.RESNETS.NORM",
        "DATASETS.TRAIN",
        "INPUT.CROP.ENABLED",
        "INPUT.CROP.TYPE",
        "INPUT.CROP.SIZE",
        "AUG.DETR",
    }
    assert not converted.conflicts
    assert [key for key, _, _ in converted.changed] == ["SOLVER.GRADIENT_ACCUMULATION_STEPS"]
    summary = converted.summary()
    assert "MODEL.RESNETS.* (2 settings)" in summary and "MODEL.VIT.DROP_PATH: 0.1" in summary


def test_unknown_keys_and_other_kinds_are_told(their):
    text = YAML + "MY_OWN: {KEY: 3}\n"
    text = text.replace("FORMAT: RGB", "FORMAT: BGR").replace("SEED: 7", "SEED: -1")
    converted = convert_config(their(text))
    assert ("MY_OWN.KEY", 3, "not known here") in converted.left_out
    assert any(key == "SEED" and "seed 42" in why for key, _, why in converted.changed)
    assert [key for key, _, _ in converted.conflicts] == ["INPUT.FORMAT"]
    assert "cannot be had: INPUT.FORMAT: 'BGR'" in converted.summary()


def test_large_model(their):
    text = YAML.replace("layoutlmv3_base", "layoutlmv3_large").replace(
        "[layer3, layer5, layer7, layer11]", "[layer7, layer11, layer15, layer23]"
    )
    backbone = config_of(their(text)).backbone
    assert (backbone.hidden_size, backbone.layers, backbone.heads) == (1024, 24, 16)
    assert backbone.out_indices == [7, 11, 15, 23] and backbone.coordinate_size == 171


def test_text_is_switched_on_and_said(their):
    converted = convert_config(their(YAML.replace("IMAGE_ONLY: True", "IMAGE_ONLY: False")))
    assert converted.values["text"] == {"selection": "first"}
    assert "MODEL.IMAGE_ONLY" in [key for key, _, _ in converted.changed]


def test_warm_up_as_long_as_the_run_is_kept_and_said(their):
    text = YAML.replace("WARMUP_ITERS: 1000", "WARMUP_ITERS: 90000")
    converted = convert_config(their(text))
    assert from_dict(converted.values).solver.allow_long_warmup
    assert "never reached" in converted.summary()


def test_bases_are_laid_under(their, tmp_path):
    (tmp_path / "deep").mkdir()
    their(YAML, "deep/base.yaml")
    config = config_of(their("_BASE_: deep/base.yaml\nMODEL: {ROI_HEADS: {NUM_CLASSES: 9}}\n"))
    assert config.model.num_classes == 9 and config.test.score_threshold == 0.2
    with pytest.raises(InputError, match="leads back"):
        convert_config(their("_BASE_: loop.yaml\n", "loop.yaml"))
    with pytest.raises(InputError, match="download it"):
        convert_config(their("_BASE_: detectron2://COCO/x.yaml\n"))


def test_tuples_and_numbers_in_strings():
    assert literals({"a": "(1, (2, 3))", "b": "2e-4", "c": "abc", "d": "__import__('os')"}) == {
        "a": [1, [2, 3]],
        "b": 2e-4,
        "c": "abc",
        "d": "__import__('os')",
    }


def test_python_tuples_are_read_and_other_python_objects_refused(their, tmp_path):
    text = YAML.replace("(480, 512, 544)", "!!python/tuple [480, 512]")
    assert config_of(their(text)).input.min_size_train == [480, 512]
    trap = tmp_path / "trap"
    evil = f"MODEL: !!python/object/apply:pathlib.Path.touch [{trap}]"
    with pytest.raises(InputError, match=r"line 1: refused"):
        convert_config(their(evil))
    assert not trap.exists()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("just words", "not a mapping"),
        ("a: [1", "not YAML"),
        ("model: {mask_on: true}", "no MODEL section"),
        ("MODEL: {VIT: {NAME: dit_base_patch16}}", "dit_base_patch16"),
        ("MODEL: {RPN: {IOU_THRESHOLDS: 3}}", "MODEL.RPN.IOU_THRESHOLDS is 3"),
        ("MODEL: {ANCHOR_GENERATOR: {SIZES: [[32], [64]]}}", "one for each of the 5 levels"),
        ("MODEL: {ANCHOR_GENERATOR: {SIZES: [[32.5]]}}", "whole pixels"),
        ("MODEL: {ANCHOR_GENERATOR: {SIZES: [[32], [64], [1], [2], [3, 4]]}}", "share a head"),
        (
            "MODEL: {MASK_ON: True}\nSOLVER: {CLIP_GRADIENTS: {ENABLED: True, CLIP_TYPE: l1}}",
            "known: full_model, norm, value",
        ),
        ("MODEL: {ROI_HEADS: {NUM_CLASSES: many}}", "model.num_classes is 'many'"),
        ("MODEL: {}\nSOLVER: {LR_SCHEDULER_NAME: Poly, MAX_ITER: 5}", "no MODEL"),
        ("MODEL: {MASK_ON: True}\nSOLVER: {LR_SCHEDULER_NAME: Poly}", "WarmupCosineLR"),
    ],
)
def test_faults_are_named(their, text, wanted):
    path = their(text)
    with pytest.raises(InputError) as caught:
        convert_config(path)
    assert wanted in str(caught.value) and str(path) in str(caught.value)


def test_command_writes_a_config_that_loads(their, tmp_path, capsys):
    path, out = their(YAML), tmp_path / "sub" / "ours.yaml"
    assert main(["convert-config", str(path), "--out", str(out)]) == 0
    assert load_config(out) == config_of(path)
    assert "left out: DATASETS.TRAIN" in capsys.readouterr().out
    assert main(["convert-config", str(path)]) == 0
    printed = capsys.readouterr()
    assert printed.out == out.read_text(encoding="utf-8") and "left out" in printed.err
    assert main(["convert-config", str(path), "--out", str(path)]) == 1
    assert main(["convert-config", str(tmp_path / "lost.yaml")]) == 1


@pytest.mark.parametrize("accumulate", [1, 4])
def test_our_config_there_and_back(their, accumulate):
    config = from_dict(
        {
            "model": {"num_classes": 6, "mask_on": False},
            "rpn": {"box_loss": "giou", "negative_iou": 0.2},
            "solver": {
                "grad_accum_steps": accumulate,
                "max_grad_norm": 0.0,
                "schedule": "multistep",
            }
            | {"milestones": [100, 200]},
            "precision": "fp32",
            "test": {"detections_per_page": 37},
        }
    )
    assert config_of(their(to_detectron2_yaml(config))) == config


def test_our_yaml_for_detectron2_is_plain(their):
    text = to_detectron2_yaml(Config())
    assert "&id" not in text and "!!" not in text
    assert yaml.safe_load(text)["MODEL"]["ROI_HEADS"]["NAME"] == "CascadeROIHeads"
    assert not convert_config(their(text)).conflicts


# -- what a file does not say, and what is not done ---------------------------------------------


def told(rows) -> dict[str, str]:
    return {key: why for key, _, why in rows}


def test_the_size_of_images_is_ignored_as_in_the_original(their):
    converted = convert_config(their(YAML.replace("[224, 224]", "[448, 448]")))
    assert from_dict(converted.values).backbone.input_size == 224
    assert "ignores it" in told(converted.left_out)["MODEL.VIT.IMG_SIZE"]


def test_anchors_of_one_level_count_for_all(their):
    """detectron2's rule: one list of sizes, or of ratios, is that of each level."""

    def rpn(sizes: str, ratios: str):
        text = YAML.replace("[[24], [48], [96], [192], [384]]", sizes)
        return config_of(their(text.replace("[[0.25, 1, 4.0]]", ratios))).rpn

    one = rpn("[[40]]", "[[0.5], [0.5], [0.5], [0.5], [2]]")
    assert one.anchor_sizes == [40] * 5
    assert one.ratios_of_levels() == [[0.5], [0.5], [0.5], [0.5], [2.0]]
    assert rpn("[[32, 64]]", "[[1.0]]").sizes_of_levels() == [[32, 64]] * 5
    text = to_detectron2_yaml(from_dict({"rpn": {"anchor_sizes": [[8, 9]] * 5}}))
    assert config_of(their(text)).rpn.anchor_sizes == [[8, 9]] * 5


@pytest.mark.parametrize(
    ("stated", "ours"),
    [
        ("full_model", ("total_norm", 0.5)),
        ("norm", ("norm", 0.5)),
        ("value", ("value", 0.5)),
        (None, ("value", 0.5)),
    ],
)
def test_clipping_keeps_its_kind(their, stated, ours):
    text = YAML.replace("CLIP_TYPE: full_model, ", f"CLIP_TYPE: {stated}, " if stated else "")
    converted = convert_config(their(text))
    solver = from_dict(converted.values).solver
    assert (solver.clip_type, solver.max_grad_norm) == ours
    assert ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE" in told(converted.silent)) == (stated is None)
    assert config_of(their(to_detectron2_yaml(from_dict(converted.values)))).solver == solver


def test_a_sampler_that_repeats_rare_classes(their):
    text = YAML + "DATALOADER: {SAMPLER_TRAIN: RepeatFactorTrainingSampler, REPEAT_THRESHOLD: 0.3}"
    assert config_of(their(text)).data.repeat_threshold == 0.3
    text = text.replace("RepeatFactorTrainingSampler", "TrainingSampler")
    converted = convert_config(their(text))
    assert from_dict(converted.values).data.repeat_threshold == 0
    assert "DATALOADER.REPEAT_THRESHOLD" in told(converted.left_out)
    text = text.replace(" TrainingSampler", " RandomSubsetTrainingSampler")
    assert "DATALOADER.SAMPLER_TRAIN" in told(convert_config(their(text)).conflicts)


def test_detectron2_s_own_mapper_flips(their):
    assert config_of(their(YAML)).input.flip == 0
    converted = convert_config(their(YAML.replace("DETR: True", "DETR: False")))
    assert from_dict(converted.values).input.flip == 0.5
    assert "input.flip=0.5" in told(converted.changed)["AUG.DETR"]
    assert "INPUT.CROP.TYPE" in told(converted.conflicts)  # another kind of crop
    text = YAML.replace("DETR: True", "DETR: False").replace("FORMAT: RGB", "RANDOM_FLIP: none")
    converted = convert_config(their(text))
    assert from_dict(converted.values).input.flip == 0
    text = text.replace("RANDOM_FLIP: none", "RANDOM_FLIP: vertical")
    assert "INPUT.RANDOM_FLIP" in told(convert_config(their(text)).conflicts)


def test_several_data_sets(their):
    text = YAML.replace('("publaynet_train",)', '("one", "two")\n  TEST: ("three", "four")')
    converted = convert_config(their(text))
    assert "data.train" in told(converted.changed)["DATASETS.TRAIN"]
    assert "data.val" in told(converted.conflicts)["DATASETS.TEST"]


def test_what_a_silent_file_means_is_said(their):
    """detectron2's defaults that are not ours: of the recipe they are taken over; those that no
    LayoutLMv3 detector was trained with are not."""
    sparse = convert_config(their("MODEL: {IMAGE_ONLY: True}"))
    config = from_dict(sparse.values)
    assert config.input.pixel_mean == [127.5] * 3 and config.roi.pool_size == 7
    assert config.model.mask_on and config.solver.schedule == "multistep"
    said = told(sparse.silent)
    assert "input.pixel_mean stays [127.5" in said["MODEL.PIXEL_MEAN"]
    assert "taken over as solver.schedule" in said["SOLVER.LR_SCHEDULER_NAME"]
    for key in (
        "AUG.DETR",
        "MODEL.MASK_ON",
        "MODEL.PIXEL_MEAN",
        "MODEL.ROI_HEADS.NUM_CLASSES",
        "SEED",
    ):
        assert key in said
    cannot = told(sparse.silent_conflicts)
    assert {"INPUT.FORMAT", "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG"} <= set(cannot)
    assert "the file is silent" in sparse.summary()
    # What the file does say is not said again.
    full = convert_config(their(YAML))
    assert not {"MODEL.MASK_ON", "MODEL.PIXEL_MEAN", "SEED", "AUG.DETR"} & set(told(full.silent))
    assert "INPUT.FORMAT" not in told(full.silent_conflicts)


def test_strict_ends_with_1_and_writes_nothing(their, tmp_path, capsys):
    path, out = their(to_detectron2_yaml(Config())), tmp_path / "ours.yaml"
    assert main(["convert-config", str(path), "--strict", "--out", str(out)]) == 0
    out.unlink()
    path = their(to_detectron2_yaml(Config()).replace("RGB", "BGR"))
    assert main(["convert-config", str(path), "--strict", "--out", str(out)]) == 1
    printed = capsys.readouterr().err.splitlines()
    assert "INPUT.FORMAT" in printed[-1] and "1 settings cannot be had" in printed[-1]
    assert not out.exists()
    assert main(["convert-config", str(path), "--out", str(out)]) == 0


def test_augmentation_at_test_time(their):
    """Off where it is not enabled; detectron2's sizes where it is; ours there and back."""
    text = YAML.replace("TEST: {", "TEST: {AUG: {MIN_SIZES: [500, 700], FLIP: False}, ")
    augment = config_of(their(text)).test.augment
    assert (augment.sizes, augment.flip) == ([], False)
    converted = convert_config(their(text.replace("AUG: {MIN", "AUG: {ENABLED: True, MIN")))
    augment = from_dict(converted.values).test.augment
    assert (augment.sizes, augment.max_size, augment.flip) == ([500, 700], 4000, False)
    assert "TEST.AUG.MAX_SIZE" in told(converted.silent) and not converted.conflicts
    bare = convert_config(their("MODEL: {MASK_ON: True}\nTEST: {AUG: {ENABLED: True}}"))
    augment = from_dict(bare.values).test.augment
    assert augment.flip and augment.sizes == [400, 500, 600, 700, 800, 900, 1000, 1100, 1200]
    assert "mask" in told(bare.changed)["TEST.AUG.ENABLED"]
    config = from_dict({"test": {"augment": {"sizes": [640], "max_size": 900, "flip": True}}})
    assert config_of(their(to_detectron2_yaml(config))).test.augment == config.test.augment


def test_weights_of_losses(their):
    head = "MODEL: {MASK_ON: True, RPN: {LOSS_WEIGHT: 2.0, BBOX_REG_LOSS_WEIGHT: 0.25}}"
    assert config_of(their(YAML)).solver.loss_weights == {}
    weights = config_of(their(head)).solver.loss_weights
    assert weights == {"loss_rpn_cls": 2.0, "loss_rpn_loc": 0.5}
    box = config_of(their("MODEL: {ROI_BOX_HEAD: {BBOX_REG_LOSS_WEIGHT: 3}}")).solver.loss_weights
    assert box == {f"loss_box_reg_stage{n}": 3.0 for n in range(3)}
    for ours in (weights, box):
        config = from_dict({"solver": {"loss_weights": ours}})
        assert config_of(their(to_detectron2_yaml(config))).solver.loss_weights == ours
    with pytest.raises(InputError, match=r"MODEL\.RPN\.LOSS_WEIGHT is .* must be a number"):
        convert_config(their("MODEL: {RPN: {LOSS_WEIGHT: much}}"))
