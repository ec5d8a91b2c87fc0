"""What the detector asks of an encoder.

Shapes: B pages, T text tokens, K word pieces of a slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from lmv3det.errors import InputError


class Features(NamedTuple):
    """What an encoder makes of a batch.

    Attributes:
        maps: four feature maps, finest first, each B×C×H×W, of the encoder's `out_channels` and
            `strides`.
        text: four lists of text states B×T×C, one a map, with C = `text_channels`; None where the
            encoder reads no text, or there is none.
    """

    maps: list[Tensor]
    text: list[Tensor] | None = None


class Backbone(nn.Module):
    """Base of all encoders. One of your own derives from it, sets the attributes in its constructor
    and overrides `forward`; `backbone.kind: module:Class` names it, and `backbone.options` holds
    the arguments of its constructor.

    Attributes:
        out_channels: channels of the four maps, finest first.
        strides: pixels of a cell of each map. Where all are 16, as a ViT's, the detector makes maps
            of strides 4, 8, 16 and 32 of them; strides of 4, 8, 16 and 32 are taken as they are,
            and with 4, 8, 16 and 16 the last map is halved.
        text_channels: width of the text states; 0 for an encoder that reads no text, for which the
            detector embeds the tokens where a fusion needs them.
        size_divisibility: height and width of the images are multiples of it.
    """

    out_channels: Sequence[int]
    strides: Sequence[int]
    text_channels: int = 0
    size_divisibility: int = 32

    def forward(
        self,
        images: Tensor,
        input_ids: Tensor | None = None,
        text_boxes: Tensor | None = None,
        text_mask: Tensor | None = None,
        image_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> Features:
        """Encode a batch. All arguments are passed in this order.

        Args:
            images: B×3×H×W, normalised, zero padded at right and bottom.
            input_ids: B×T or B×T×K int64 token ids; None without text.
            text_boxes: B×T×4 int64 on the page's 0..1000 grid.
            text_mask: B×T bool, True for a real token; None where all are.
            image_sizes: (height, width) of each page before padding.
        """
        raise TypeError(f"{type(self).__name__} must override forward")

    def layer_of(self, name: str) -> int | None:
        """The layer of a parameter, for `solver.layer_decay`: 0 for the embeddings, then rising to
        the output. None leaves the parameter's lr as it is.

        Args:
            name: the parameter's name within the encoder.
        """
        return None

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Recompute activations in the backward pass, or keep them.

        Raises:
            InputError: the encoder cannot.
        """
        if enabled:
            raise InputError(
                f"backbone.gradient_checkpointing is true, but {type(self).__name__} does not "
                "recompute activations (set_gradient_checkpointing): set it to false"
            )

    def load_weights(self, source: str) -> None:
        """Take over pre-trained weights, as `backbone.weights` names them.

        Raises:
            InputError: the encoder reads none, or these do not fit.
        """
        raise InputError(
            f"backbone.weights is {source!r}, but {type(self).__name__} reads none (load_weights): "
            "leave it out; model.weights names the weights of a whole detector"
        )


STRIDES = ((16, 16, 16, 16), (4, 8, 16, 16), (4, 8, 16, 32))
"""The strides of four maps of which a pyramid can be made."""


def check_backbone(backbone: Backbone, key: str, name: str) -> None:
    """Check that an encoder keeps the contract in what can be seen without running it.

    Raises:
        InputError: it does not; the message names the setting and the attribute.
    """

    def require(holds: bool, attribute: str, wanted: str) -> None:
        if not holds:
            value = getattr(backbone, attribute, "not set")
            raise InputError(
                f"{key} is {name!r}, whose {attribute} is {value}; it must be {wanted}"
            )

    channels = list(getattr(backbone, "out_channels", []))
    whole = all(isinstance(number, int) and number > 0 for number in channels)
    require(len(channels) == 4 and whole, "out_channels", "the channels of four maps")
    strides = tuple(getattr(backbone, "strides", ()))
    shown = " or ".join(map(str, STRIDES))
    require(strides in STRIDES, "strides", f"those of four maps: {shown}")
    if strides == STRIDES[0]:
        require(len(set(channels)) == 1, "out_channels", "equal where all strides are 16")
    if strides[3] == 16:
        width = backbone.text_channels
        require(
            width in (0, channels[3]), "text_channels", f"0, or {channels[3]} as the last map's"
        )
