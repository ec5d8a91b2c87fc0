"""The encoder with text: multimodal and relative-bias files."""

from __future__ import annotations

import math

import numpy as np
import torch
from fixture import Fixture, Options, build_config, deterministic_model, make_batch
from torch import Tensor

from lmv3det.convert.parameter_names import detectron2_name
from lmv3det.model.attention import relative_bucket
from lmv3det.model.backbone import PATCH_SIZE, visual_boxes
from lmv3det.model.box_grid import scatter

OUT_INDICES = (3, 5, 7, 11)


def hidden_states(encoder, batch, input_ids, boxes, mask) -> tuple[Tensor, list[Tensor]]:
    """What enters the first layer, and what every layer gives, each B×L×C."""
    states: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda module, inputs, output: states.append(output))
        for layer in encoder.layers
    ]
    first = encoder.layers[0].register_forward_pre_hook(
        lambda module, inputs: states.append(inputs[0])
    )
    encoder(batch.images, input_ids, boxes, mask)
    for hook in (*hooks, first):
        hook.remove()
    return states[0], states[1:]


def read_text(fixture: Fixture) -> tuple[Tensor, Tensor, Tensor]:
    keys = ("input_ids", "bbox", "attention_mask")
    input_ids, boxes, mask = (torch.from_numpy(fixture[key]) for key in keys)
    return input_ids, boxes, mask.bool()


def check_multimodal(fixture: Fixture, options: Options) -> None:
    """Embeddings, hidden states, maps and gradients of text + image, with and without mask."""
    model = deterministic_model(build_config(options, text=True), options.offset).eval()
    encoder = model.backbone
    batch = make_batch(list(fixture["images"]))
    input_ids, boxes, mask = read_text(fixture)
    with torch.no_grad():
        fixture.compare("text_embeddings", encoder.text_embedding(input_ids, boxes))
        last_text = {}
        for name, seen in (("masked", mask), ("unmasked", None)):
            entered, states = hidden_states(encoder, batch, input_ids, boxes, seen)
            visual, text = encoder(batch.images, input_ids, boxes, seen)
            last_text[name] = text[-1]
            maps = model.pyramid(visual)
            if f"{name}.encoder_input" in fixture:
                fixture.compare(f"{name}.encoder_input", entered)
            for tap, features in zip(OUT_INDICES, maps, strict=True):
                if f"{name}.hidden_after_layer{tap}" in fixture:
                    fixture.compare(f"{name}.hidden_after_layer{tap}", states[tap])
                if f"{name}.layer{tap}" in fixture:
                    fixture.compare(f"{name}.layer{tap}", features)
            seed = {"masked": "seed_masked", "unmasked": "seed_nomask"}[name]
            for tap, features in zip(OUT_INDICES, maps, strict=True):
                if tap == OUT_INDICES[-1]:
                    features = features + paint_swapped(last_text[name], boxes, features)
                if f"{seed}.layer{tap}" in fixture:
                    fixture.compare(f"{seed}.layer{tap}", features)
    check_gradients(fixture, model.train())


def paint_swapped(text: Tensor, boxes: Tensor, features: Tensor) -> Tensor:
    """The notes' painting, its mistakes included: x and y swapped, end at the first zero box."""
    height, width = features.shape[2:]
    swapped = boxes[..., [1, 0, 3, 2]]
    before_end = (boxes != 0).any(-1).long().cumprod(1).bool()
    return scatter(text, swapped, before_end, height, width)


def check_gradients(fixture: Fixture, model) -> None:
    input_ids, boxes, mask = read_text(fixture)
    batch = make_batch(list(fixture["images"]))
    _, states = hidden_states(model.backbone, batch, input_ids, boxes, mask)
    weight = torch.from_numpy(np.random.RandomState(7).standard_normal(states[-1].shape))
    loss = (states[-1] * weight).sum()
    loss.backward()
    fixture.compare("grad.loss", loss)
    gradients = {detectron2_name(name): p.grad for name, p in model.named_parameters()}
    norms = [gradients[str(name)] for name in fixture["grad.names"]]
    fixture.compare("grad.norms", np.array([0.0 if g is None else g.norm().item() for g in norms]))


@torch.no_grad()
def check_bias(fixture: Fixture, options: Options) -> None:
    """All layers with both relative biases on; the biases and the buckets themselves."""
    config = build_config(
        options, text=True, backbone={"relative_bias": True, "spatial_bias": True}
    )
    model = deterministic_model(config, options.offset).eval()
    encoder = model.backbone
    batch = make_batch(list(fixture["images"]))
    input_ids, boxes, mask = read_text(fixture)
    entered, states = hidden_states(encoder, batch, input_ids, boxes, mask)
    for source in ("official", "hf"):
        fixture.compare(f"{source}.encoder_input", entered)
        for number, state in enumerate(states):
            fixture.compare(f"{source}.hidden_after_layer{number}", state)
    grid = tuple(side // PATCH_SIZE for side in batch.images.shape[2:])
    fixture.compare("visual_bbox", visual_boxes(grid))
    length, patches = input_ids.shape[1], grid[0] * grid[1]
    positions = torch.cat([torch.arange(length), torch.arange(patches + 1)])
    fixture.compare("official.rel_pos", encoder.relative_bias(positions).unsqueeze(0))
    joint = torch.cat([boxes, visual_boxes(grid).expand(len(boxes), -1, -1)], dim=1)
    spatial = encoder.spatial_bias_x(joint[..., 0]) + encoder.spatial_bias_y(joint[..., 3])
    fixture.compare("official.rel_2d_pos", spatial)
    both = encoder.attention_mask(entered, length, grid, boxes, None, None)
    scale = math.sqrt(entered.shape[2] / encoder.layers[0].attention.heads)
    assert torch.allclose(both * scale, encoder.relative_bias(positions) + spatial, atol=1e-12)
    distance = torch.from_numpy(fixture["bucket.relative_position"])
    fixture.compare("bucket.32_128", relative_bucket(distance, 32, 128))
    fixture.compare("bucket.64_256", relative_bucket(distance, 64, 256))
