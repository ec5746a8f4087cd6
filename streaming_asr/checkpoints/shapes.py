"""The shapes that a configuration promises for the tensors that all supported families share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streaming_asr.errors import CheckpointError

Shape = tuple[int, ...]

_DEFAULTS: Final[Mapping[str, Any]] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "intermediate_size": 3072,
    "conv_dim": (512,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_bias": False,
}
"""What transformers assumes where `config.json` leaves a value out."""


def expected_shapes(config: Mapping[str, Any], rows: int) -> Mapping[str, Shape]:
    """Tensor names and shapes for a valid configuration and a CTC head of `rows` rows.

    Only what no family leaves out or spells differently is listed: the convolutions, the projections of the
    transformer and the head.
    """
    options = _complete(config)
    hidden = options["hidden_size"]
    head = {"lm_head.weight": (rows, hidden), "lm_head.bias": (rows,)}
    layers = range(layer_count(config))
    transformer = [_layer(f"encoder.layers.{layer}", hidden, options["intermediate_size"]) for layer in layers]
    return _front_end(options, hidden) | {name: shape for layer in transformer for name, shape in layer.items()} | head


def adapter_shapes(config: Mapping[str, Any], rows: int) -> Mapping[str, Shape]:
    """Tensor names and shapes of the adapters and the head of one language (MMS), for a head of `rows` rows."""
    hidden, width = _complete(config)["hidden_size"], config.get("adapter_attn_dim")
    if width is None:
        raise CheckpointError("config.json has no adapter_attn_dim, which checkpoints with adapters have")
    shapes: dict[str, Shape] = {"lm_head.weight": (rows, hidden), "lm_head.bias": (rows,)}
    for layer in range(layer_count(config)):
        base = f"encoder.layers.{layer}.adapter_layer"
        shapes |= {f"{base}.norm.weight": (hidden,), f"{base}.norm.bias": (hidden,)}
        shapes |= _linear(f"{base}.linear_1", width, hidden) | _linear(f"{base}.linear_2", hidden, width)
    return shapes


def head_rows(shapes: Mapping[str, Shape], origin: str) -> int | None:
    """The rows of the CTC head among tensors of these shapes; None where there is no head.

    Raises `CheckpointError` for a head that is no matrix.
    """
    shape = shapes.get("lm_head.weight")
    if shape is None:
        return None
    if len(shape) != 2 or shape[0] == 0:
        raise CheckpointError(f"{origin}: lm_head.weight has the shape {shape}; one row per token was expected")
    return shape[0]


def layer_count(config: Mapping[str, Any]) -> int:
    """The number of transformer layers that a valid configuration gives."""
    count: int = _complete(config)["num_hidden_layers"]
    return count


def _complete(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**_DEFAULTS, **{name: value for name, value in config.items() if value is not None}}


def _front_end(options: Mapping[str, Any], hidden: int) -> dict[str, Shape]:
    widths = tuple(options["conv_dim"])
    shapes: dict[str, Shape] = {}
    for layer, (inputs, outputs) in enumerate(zip((1, *widths), widths, strict=False)):
        base = f"feature_extractor.conv_layers.{layer}.conv"
        shapes[f"{base}.weight"] = (outputs, inputs, options["conv_kernel"][layer])
        if options["conv_bias"]:
            shapes[f"{base}.bias"] = (outputs,)
    return {**shapes, **_linear("feature_projection.projection", hidden, widths[-1])}


def _layer(base: str, hidden: int, intermediate: int) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
        shapes |= _linear(f"{base}.attention.{projection}", hidden, hidden)
    for norm in ("layer_norm", "final_layer_norm"):
        shapes |= {f"{base}.{norm}.weight": (hidden,), f"{base}.{norm}.bias": (hidden,)}
    shapes |= _linear(f"{base}.feed_forward.intermediate_dense", intermediate, hidden)
    return shapes | _linear(f"{base}.feed_forward.output_dense", hidden, intermediate)


def _linear(base: str, outputs: int, inputs: int) -> dict[str, Shape]:
    return {f"{base}.weight": (outputs, inputs), f"{base}.bias": (outputs,)}
