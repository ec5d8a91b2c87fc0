"""The encoder against Hugging Face's `LayoutLMv3Model` of the installed transformers."""

from __future__ import annotations

import pytest
import torch
from transformers import LayoutLMv3Config, LayoutLMv3Model

from lmv3det.convert.parameter_names import encoder_name
from lmv3det.model.backbone import LayoutLMv3

SIZES = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "coordinate_size": 8,
    "shape_size": 8,
    "vocab_size": 120,
}
LAYERS, HEADS = 12, 4


def theirs() -> LayoutLMv3Model:
    torch.manual_seed(0)
    config = LayoutLMv3Config(
        **SIZES,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=514,
        type_vocab_size=1,
        has_relative_attention_bias=True,
        has_spatial_attention_bias=True,
    )
    model = LayoutLMv3Model(config).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            large = 0.7 if "rel_pos" in name else 0.2
            parameter.copy_(torch.randn_like(parameter) * large + ("norm" in name.lower()))
    return model


def ours(model: LayoutLMv3Model) -> LayoutLMv3:
    encoder = LayoutLMv3(
        **SIZES,
        layers=LAYERS,
        heads=HEADS,
        out_indices=tuple(range(LAYERS)),
        use_text=True,
        relative_bias=True,
        spatial_bias=True,
    )
    renamed = {encoder_name(name): tensor for name, tensor in model.state_dict().items()}
    renamed.pop(None, None)
    encoder.double().eval().load_state_dict(renamed)
    return encoder


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(2, SIZES["vocab_size"], (2, 15), generator=generator)
    corners = torch.randint(0, 1001, (2, 15, 2, 2), generator=generator).sort(dim=2).values
    mask = torch.ones(2, 15, dtype=torch.bool)
    mask[1, 9:] = False
    ids[~mask] = 1
    boxes = corners.flatten(2)
    boxes[~mask] = 0
    images = torch.randn(2, 3, 224, 224, generator=generator, dtype=torch.float64)
    return {"ids": ids, "boxes": boxes, "mask": mask, "images": images}


@torch.no_grad()
def test_all_layers_agree_with_both_biases():
    model, inputs = theirs(), batch()
    seen: list[torch.Tensor] = []
    for layer in model.encoder.layer:
        layer.register_forward_hook(
            lambda _module, _inputs, out: seen.append(out[0] if isinstance(out, tuple) else out)
        )
    model(
        input_ids=inputs["ids"],
        bbox=inputs["boxes"],
        attention_mask=inputs["mask"].long(),
        pixel_values=inputs["images"],
    )
    visual, text = ours(model)(inputs["images"], inputs["ids"], inputs["boxes"], inputs["mask"])
    assert len(seen) == len(visual) == LAYERS
    real = inputs["mask"]
    for number, states in enumerate(seen):
        patches = states[:, 16:].transpose(1, 2).unflatten(2, (14, 14))
        torch.testing.assert_close(visual[number], patches, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(text[number][real], states[:, :15][real], rtol=1e-10, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("name", ["relative_bias", "spatial_bias_x", "spatial_bias_y"])
def test_the_comparison_sees_a_changed_bias(name):
    encoder, inputs = ours(theirs()), batch()
    arguments = (inputs["images"], inputs["ids"], inputs["boxes"], inputs["mask"])
    before = encoder(*arguments)[0][-1]
    getattr(encoder, name).weight[0] += 1.0 * torch.arange(getattr(encoder, name).weight.shape[1])
    assert (encoder(*arguments)[0][-1] - before).abs().max() > 1e-6
