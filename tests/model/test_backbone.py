"""The encoder: masks, positions, switches that must change nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lmv3det.model.attention import Attention, chunked_attention, relative_bucket
from lmv3det.model.backbone import EncoderLayer, LayoutLMv3, visual_boxes

SMALL = {
    "hidden_size": 24,
    "layers": 4,
    "heads": 4,
    "intermediate_size": 32,
    "out_indices": (0, 1, 2, 3),
    "coordinate_size": 4,
    "shape_size": 4,
    "vocab_size": 50,
    "max_positions": 40,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}


def build(**options) -> LayoutLMv3:
    torch.manual_seed(0)
    encoder = LayoutLMv3(**{**SMALL, **options}).double()
    for parameter in encoder.parameters():  # biases and tables that start at 0 must matter too
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder.eval()


def text(tokens: int, pages: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    ids = torch.randint(2, 50, (pages, tokens), generator=generator)
    corners = torch.randint(0, 1001, (pages, tokens, 2, 2), generator=generator).sort(2).values
    return ids, corners.flatten(2), torch.ones(pages, tokens, dtype=torch.bool)


def pages(number: int, height: int = 64, width: int = 96) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    return torch.randn(number, 3, height, width, generator=generator, dtype=torch.float64)


def explicit_attention(module: Attention, x: Tensor, seen: Tensor | None) -> Tensor:
    """Softmax(QKᵀ/√d)V written out."""

    def split(y: Tensor) -> Tensor:
        return y.reshape(*y.shape[:2], module.heads, -1).transpose(1, 2)

    query, key, value = split(module.query(x)), split(module.key(x)), split(module.value(x))
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if seen is not None:
        scores = scores.masked_fill(~seen, float("-inf"))
    mixed = scores.softmax(-1) @ value
    return module.output(mixed.transpose(1, 2).reshape(x.shape))


@pytest.mark.parametrize("masked", [False, True])
def test_fused_attention_is_the_plain_softmax(masked: bool) -> None:
    torch.manual_seed(1)
    module = Attention(24, 4, 0.0).double()
    x = torch.randn(2, 9, 24, dtype=torch.float64)
    seen = torch.rand(2, 1, 1, 9) > 0.3 if masked else None
    torch.testing.assert_close(module(x, seen), explicit_attention(module, x, seen))


@pytest.mark.parametrize("kind", ["none", "keys", "bias"])
def test_attention_by_rows_without_dropping_is_the_fused_one(kind: str) -> None:
    torch.manual_seed(2)
    query, key, value = (torch.randn(2, 3, 11, 4, dtype=torch.float64) for _ in range(3))
    mask = {"none": None, "keys": torch.rand(2, 1, 1, 11) > 0.3,
            "bias": torch.randn(2, 3, 11, 11, dtype=torch.float64)}[kind]  # fmt: skip
    fused = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)
    ours = chunked_attention(query, key, value, mask, 0.0, rows=4)
    torch.testing.assert_close(ours, fused)


def test_attention_in_bfloat16_on_a_cpu_is_close():
    torch.manual_seed(0)
    attention, x = Attention(32, 2, 0.0), torch.randn(2, 20, 32)
    seen = torch.rand(2, 1, 1, 20) > 0.3
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = attention(x, seen)
    assert mixed.dtype == torch.bfloat16
    assert torch.allclose(mixed.float(), attention(x, seen), atol=0.03)


def test_attention_by_rows_drops_the_right_share() -> None:
    torch.manual_seed(3)
    length, dropout = 200, 0.25
    zeros = torch.zeros(1, 4, length, 8, dtype=torch.float64)
    mixed = chunked_attention(zeros, zeros, torch.ones_like(zeros), None, dropout)
    # Uniform weights of 1/L over ones: each row is (kept / L) / (1 - p), mean 1.
    rows = mixed[..., 0].flatten()
    spread = (dropout / (1 - dropout) / length) ** 0.5
    assert abs(rows.mean().item() - 1) < 4 * spread / len(rows) ** 0.5
    assert 0.8 < rows.std().item() / spread < 1.2


def test_attention_with_dropout_trains_in_the_backward_pass_it_was_run_with() -> None:
    """The recomputed blocks draw the same weights: the numerical gradient agrees."""
    query, key, value = (torch.randn(1, 1, 5, 2, dtype=torch.float64) for _ in range(3))
    query.requires_grad_()

    def run(q: Tensor) -> Tensor:
        torch.manual_seed(4)
        return chunked_attention(q, key, value, None, 0.3, rows=2)

    assert torch.autograd.gradcheck(run, query)


def test_shapes_of_taps() -> None:
    visual, words = build(use_text=True)(pages(2), *text(5, 2))
    assert [tuple(v.shape) for v in visual] == [(2, 24, 4, 6)] * 4
    assert words is not None and [tuple(w.shape) for w in words] == [(2, 5, 24)] * 4


def test_padded_text_changes_nothing() -> None:
    encoder, images = build(use_text=True), pages(1)
    ids, boxes, seen = text(5)
    alone, words = encoder(images, ids, boxes, seen)
    longer = [torch.cat([part, torch.full_like(part, fill)], 1) for part, fill in
              ((ids, 1), (boxes, 0), (seen, False))]  # fmt: skip
    padded, padded_words = encoder(images, *longer)
    for a, b in zip(alone, padded, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
    for a, b in zip(words, padded_words, strict=True):
        torch.testing.assert_close(a, b[:, :5], atol=1e-12, rtol=0)
    # The mistake that this guards against: without a mask the padding is attended to.
    unmasked, _ = encoder(images, longer[0], longer[1], None)
    assert (unmasked[3] - alone[3]).abs().max() > 1e-3


def test_empty_and_fully_masked_text_are_no_text() -> None:
    encoder, images = build(use_text=True), pages(1)
    without, none = encoder(images)
    assert none is None
    ids, boxes, seen = text(4)
    masked, _ = encoder(images, ids, boxes, ~seen)
    empty, _ = encoder(images, ids[:, :0], boxes[:, :0], seen[:, :0])
    for a, b, c in zip(without, masked, empty, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
        torch.testing.assert_close(a, c, atol=0, rtol=0)


def test_text_changes_the_visual_states() -> None:
    encoder, images = build(use_text=True), pages(1)
    without, _ = encoder(images)
    with_text, _ = encoder(images, *text(4))
    assert (without[3] - with_text[3]).abs().max() > 1e-3


def test_text_into_an_image_only_encoder_is_an_error() -> None:
    with pytest.raises(ValueError, match="use_text"):
        build()(pages(1), *text(3))


def test_a_slot_of_pieces_is_their_mean() -> None:
    embedding = build(use_text=True).text_embedding
    assert embedding is not None
    boxes = torch.tensor([[[10, 20, 30, 40]]])
    pieces = torch.tensor([[[7, 9, 1]]])  # one slot, two pieces, one padding
    whole = embedding(pieces, boxes)
    with torch.no_grad():
        embedding.word.weight[11] = embedding.word.weight[[7, 9]].mean(0)
    torch.testing.assert_close(whole, embedding(torch.tensor([[11]]), boxes))


@pytest.mark.parametrize("mask_padding", [True, False])
def test_page_alone_and_with_a_larger_mate(mask_padding: bool) -> None:
    """With `mask_padding` the encoder's states of a page do not depend on its batch-mates."""
    encoder = build(mask_padding=mask_padding)
    small, large = pages(1, 64, 96), pages(1, 96, 160)
    alone, _ = encoder(small, image_sizes=[(60, 90)])
    batch = torch.cat([torch.nn.functional.pad(small, (0, 64, 0, 32)), large])
    together, _ = encoder(batch, image_sizes=[(60, 90), (96, 160)])
    difference = max(
        (a - b[:1, :, :4, :6]).abs().max().item() for a, b in zip(alone, together, strict=True)
    )
    assert difference < 1e-12 if mask_padding else difference > 1e-3


def test_activation_checkpointing_changes_nothing() -> None:
    encoder, images = build(use_text=True).train(), pages(2)
    gradients = []
    for switch in (False, True):
        encoder.gradient_checkpointing = switch
        encoder.zero_grad()
        visual, words = encoder(images, *text(4, 2))
        (sum(v.square().sum() for v in visual) + words[3].square().sum()).backward()
        gradients.append({n: p.grad.clone() for n, p in encoder.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=name)


def test_every_parameter_gets_a_gradient_and_padding_rows_none() -> None:
    encoder = build(use_text=True, relative_bias=True, spatial_bias=True)
    ids, boxes, seen = text(6)
    ids[0, 5], seen[0, 5] = 1, False
    visual, words = encoder(pages(1), ids, boxes, seen)
    (visual[3].square().sum() + words[3].square().sum()).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    embedding = encoder.text_embedding
    assert embedding.word.weight.grad[1].abs().sum() == 0
    assert embedding.position.weight.grad[1].abs().sum() == 0


def test_position_embeddings_follow_the_weights() -> None:
    encoder, images = build(), pages(1)
    with torch.no_grad():
        first, _ = encoder(images)
        again, _ = encoder(images)
        encoder.position_table.mul_(2)
        changed, _ = encoder(images)
        fresh = build()
        fresh.load_state_dict(encoder.state_dict())
        expected, _ = fresh(images)
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    torch.testing.assert_close(changed, expected, atol=0, rtol=0)
    assert (changed[0] - first[0]).abs().max() > 1e-5


@pytest.mark.parametrize("fused", [True, False])
def test_evaluation_after_an_optimizer_step_sees_the_new_table(fused: bool) -> None:
    """A fused optimizer does not raise the version of what it changes."""
    encoder, images = build(), pages(1)
    with torch.no_grad():
        encoder(images)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=0.1, fused=fused)
    encoder.train()
    encoder(images)[0][3].square().sum().backward()
    optimizer.step()
    encoder.eval()
    with torch.no_grad():
        after, _ = encoder(images)
        fresh = build()
        fresh.load_state_dict(encoder.state_dict())
        expected, _ = fresh(images)
    torch.testing.assert_close(after, expected, atol=0, rtol=0)


def test_position_table_of_its_own_grid_is_used_as_it_is() -> None:
    encoder = build(input_size=64)
    assert encoder._position_grid((4, 4)) is encoder.position_table
    resized = encoder._position_grid((4, 6))
    torch.testing.assert_close(resized[:, 0], encoder.position_table[:, 0])
    constant = build(input_size=64)
    with torch.no_grad():
        constant.position_table[:, 1:] = 3.0
    torch.testing.assert_close(constant._position_grid((7, 9))[:, 1:], torch.full((1, 63, 24), 3.0,
                               dtype=torch.float64))  # fmt: skip


def test_drop_path_only_in_training() -> None:
    encoder, images = build(drop_path=0.5), pages(1)
    a, b = encoder(images)[0][3], encoder(images)[0][3]
    torch.testing.assert_close(a, b, atol=0, rtol=0)
    encoder.train()
    torch.manual_seed(0)
    runs = [encoder(images)[0][3] for _ in range(4)]
    assert any((run - runs[0]).abs().max() > 1e-6 for run in runs[1:])
    assert isinstance(encoder.layers[0].drop_path, torch.nn.Identity)


@pytest.mark.parametrize("grid", [(2, 5), (14, 14), (3, 1)])
def test_visual_boxes_of_any_grid(grid: tuple[int, int]) -> None:
    boxes = visual_boxes(grid)
    assert boxes.shape == (1 + grid[0] * grid[1], 4)
    assert boxes[0].tolist() == [1, 1, 999, 999]
    patches = boxes[1:].reshape(*grid, 4)
    assert patches[0, 0, :2].tolist() == [0, 0] and patches[-1, -1, 2:].tolist() == [1000, 1000]
    assert (patches[:, 1:, 0] == patches[:, :-1, 2]).all()  # x runs along the columns
    assert (patches[1:, :, 1] == patches[:-1, :, 3]).all()


def test_spatial_bias_on_a_page_that_is_not_square() -> None:
    encoder = build(use_text=True, spatial_bias=True)
    visual, _ = encoder(pages(1, 64, 160), *text(5))
    assert visual[3].isfinite().all() and visual[3].shape[2:] == (4, 10)


def test_buckets_by_hand() -> None:
    # 8 buckets: 4 for each sign, the first 2 exact, then logarithmic up to 16.
    distance = torch.tensor([0, -1, 1, -2, 2, -5, 5, -6, 6, -100, 100])
    expected = [0, 1, 5, 2, 6, 2, 6, 3, 7, 3, 7]
    assert relative_bucket(distance, 8, 16).tolist() == expected


def test_the_activation_is_not_kept() -> None:
    """A layer in training keeps one tensor of its inner width, and has the gradients of a layer
    that keeps both."""
    torch.manual_seed(0)
    layer = EncoderLayer(8, 2, 40, 1e-5, 0.0, 0.0, 0.0).double().train()
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(x, None).square().sum().backward()
    assert sum(t.shape[-1] == 40 and t.numel() == 2 * 5 * 40 for t in kept) <= 1
    gradients = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    layer.eval()(x, None).square().sum().backward()  # no dropout, hence the same function
    for mine, other in zip(gradients, layer.parameters(), strict=True):
        torch.testing.assert_close(mine, other.grad, rtol=1e-12, atol=1e-12)
