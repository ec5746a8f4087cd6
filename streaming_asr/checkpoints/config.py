"""What the network of a checkpoint looks like, read from its `config.json`; what cannot stream here is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias, cast

import torch
import torch.nn.functional as F

from streaming_asr.errors import CheckpointError

Family: TypeAlias = Literal["wav2vec2", "hubert", "unispeech", "unispeech-sat", "wavlm", "data2vec-audio"]

FAMILIES: Final[tuple[Family, ...]] = ("wav2vec2", "hubert", "unispeech", "unispeech-sat", "wavlm", "data2vec-audio")
"""The values of `model_type` that this encoder computes."""

REFUSED: Final[Mapping[str, str]] = {
    "wav2vec2-conformer": "its convolution modules look 15 frames ahead in every layer, which adds up to seconds",
    "wav2vec2-bert": "it starts from mel filter banks and has conformer layers, which this encoder does not compute",
    "sew": "it squeezes the frames in time before its transformer, which this encoder does not compute",
    "sew-d": "it squeezes the frames in time and has disentangled attention, which this encoder does not compute",
    "whisper": "it is a sequence-to-sequence model, whose decoder needs the whole utterance",
    "speech-encoder-decoder": "it is a sequence-to-sequence model, whose decoder needs the whole utterance",
    "speech_to_text": "it is a sequence-to-sequence model, whose decoder needs the whole utterance",
    "seamless_m4t": "it is a sequence-to-sequence model, whose decoder needs the whole utterance",
    "mctct": "it starts from mel filter banks, which this encoder does not compute",
    "parakeet_ctc": "it starts from mel filter banks and has conformer layers, which this encoder does not compute",
}
"""Families that people are likely to try, and why each is refused."""

Activation: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

_TANH_GELU: Final[Activation] = partial(F.gelu, approximate="tanh")

ACTIVATIONS: Final[Mapping[str, Activation]] = {
    "gelu": F.gelu,
    "gelu_python": F.gelu,
    "gelu_new": _TANH_GELU,
    "gelu_fast": _TANH_GELU,
    "gelu_accurate": _TANH_GELU,
    "gelu_pytorch_tanh": _TANH_GELU,
    "gelu_python_tanh": _TANH_GELU,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "silu": F.silu,
    "swish": F.silu,
    "mish": F.mish,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "linear": lambda x: x,
}
"""Activation functions by the names that configurations use; all the tanh spellings of GELU are one function."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """One layer of the convolutional front end; kernel and stride are in inputs of that layer."""

    channels_in: int
    channels_out: int
    kernel: int
    stride: int


@dataclass(frozen=True, slots=True)
class Positional:
    """The convolutional position embedding: `depth` layers of one grouped convolution each."""

    kernel: int
    groups: int
    depth: int
    batch_norm: bool
    stacked: bool
    """data2vec-audio: a norm without parameters after each convolution, and its own weight names."""


@dataclass(frozen=True, slots=True)
class RelativeBias:
    """WavLM's bias by bucketed distance between key and query, shared by all layers (Chen et al. 2021, section 3.1)."""

    buckets: int
    distance: int


@dataclass(frozen=True, slots=True)
class Config:
    """The shape of one network of the wav2vec2 kind, and the arithmetic between its samples and its frames."""

    family: Family
    convolutions: tuple[Convolution, ...]
    convolution_bias: bool
    convolution_norm: Literal["group", "layer"]
    convolution_activation: str
    projection_norm: bool
    positional: Positional
    width: int
    layers: int
    heads: int
    feed_forward: int
    activation: str
    norm_first: bool
    """Norms before attention and feed-forward and one after the last layer, instead of after each and before all."""
    norm_epsilon: float
    adapter: int | None
    """Width of the per-layer language adapters of MMS, None without them."""
    relative_bias: RelativeBias | None

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> Config:
        """Read the contents of a `config.json`; unknown keys are ignored, missing ones have transformers' defaults.

        Raises CheckpointError with the reason for a family or an option that this encoder does not compute.
        """
        family = _family(mapping)
        read = _Reader(mapping)
        heads, width = read.positive("num_attention_heads", 12), read.positive("hidden_size", 768)
        if width % heads:
            raise CheckpointError(f"hidden_size {width} is not a multiple of num_attention_heads {heads}")
        norm_first = family != "data2vec-audio" and read.flag("do_stable_layer_norm", False)
        adapts = norm_first and family != "wavlm" and mapping.get("adapter_attn_dim") is not None
        return cls(
            family=family,
            convolutions=_convolutions(read),
            convolution_bias=read.flag("conv_bias", False),
            convolution_norm=_convolution_norm(family, mapping),
            convolution_activation=read.activation("feat_extract_activation"),
            projection_norm=family != "hubert" or read.flag("feat_proj_layer_norm", True),
            positional=_positional(family, read, width),
            width=width,
            layers=read.positive("num_hidden_layers", 12),
            heads=heads,
            feed_forward=read.positive("intermediate_size", 3072),
            activation=read.activation("hidden_act"),
            norm_first=norm_first,
            norm_epsilon=float(mapping.get("layer_norm_eps", 1e-5)),
            adapter=read.positive("adapter_attn_dim", 0) if adapts else None,
            relative_bias=_relative_bias(family, read),
        )

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        product = 1
        for layer in self.convolutions:
            product *= layer.stride
        return product

    @property
    def receptive_field(self) -> int:
        """Samples that one frame is made of: frame t is made of samples [t * hop, t * hop + receptive_field)."""
        reach, jump = 1, 1
        for layer in self.convolutions:
            reach += (layer.kernel - 1) * jump
            jump *= layer.stride
        return reach

    @property
    def positional_reach(self) -> int:
        """Frames before a frame that its position embedding is made of."""
        return self.positional.depth * (self.positional.kernel // 2)

    def frames(self, samples: int) -> int:
        """Frames that can be computed from the first `samples` samples."""
        return max(0, (samples - self.receptive_field) // self.hop + 1)

    def samples(self, frames: int) -> int:
        """Samples that the first `frames` frames are made of."""
        return (frames - 1) * self.hop + self.receptive_field if frames else 0

    def first_outputs(self, samples: int) -> int:
        """Outputs of the first convolution that can be computed from the first `samples` samples."""
        first = self.convolutions[0]
        return max(0, (samples - first.kernel) // first.stride + 1)

    def needed_from(self, frames: int) -> int:
        """The first sample that still has to be known for the frames behind the first `frames`."""
        return self.needed_after(self.samples(frames))

    def needed_after(self, samples: int) -> int:
        """The first sample of the first output of the first convolution that ends behind the first `samples`."""
        return self.first_outputs(samples) * self.convolutions[0].stride


@dataclass(frozen=True, slots=True)
class _Reader:
    """Typed access to a configuration, with errors that name key and value."""

    mapping: Mapping[str, Any]

    def positive(self, key: str, default: int) -> int:
        value = self.mapping.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"{key} in config.json is {value!r}, it has to be a positive whole number")
        return value

    def positives(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        values = self.mapping.get(key, default)
        if not isinstance(values, list | tuple) or not values:
            raise CheckpointError(f"{key} in config.json is {values!r}, it has to be a list of positive whole numbers")
        return tuple(_Reader({key: value}).positive(key, 0) for value in values)

    def flag(self, key: str, default: bool) -> bool:
        value = self.mapping.get(key, default)
        if not isinstance(value, bool):
            raise CheckpointError(f"{key} in config.json is {value!r}, it has to be true or false")
        return value

    def activation(self, key: str) -> str:
        name = self.mapping.get(key, "gelu")
        if name not in ACTIVATIONS:
            raise CheckpointError(f"{key} in config.json is {name!r}, known are {', '.join(sorted(ACTIVATIONS))}")
        return cast(str, name)


def _family(mapping: Mapping[str, Any]) -> Family:
    name = str(mapping.get("model_type"))
    if name in REFUSED:
        raise CheckpointError(f"models of the family {name!r} are not supported: {REFUSED[name]}")
    if name not in FAMILIES:
        raise CheckpointError(f"model_type in config.json is {name!r}, supported are {', '.join(FAMILIES)}")
    if mapping.get("add_adapter"):
        reason = "its frames are thinned out by strided convolutions behind the transformer, which look ahead"
        raise CheckpointError(f"checkpoints with add_adapter=true are not supported: {reason}")
    return name


def _convolutions(read: _Reader) -> tuple[Convolution, ...]:
    channels = read.positives("conv_dim", (512,) * 7)
    kernels = read.positives("conv_kernel", (10, 3, 3, 3, 3, 2, 2))
    strides = read.positives("conv_stride", (5, 2, 2, 2, 2, 2, 2))
    if not len(channels) == len(kernels) == len(strides):
        lengths = f"{len(channels)}, {len(kernels)} and {len(strides)}"
        raise CheckpointError(f"conv_dim, conv_kernel and conv_stride have {lengths} entries, they need equally many")
    inputs = (1, *channels[:-1])
    return tuple(Convolution(*layer) for layer in zip(inputs, channels, kernels, strides, strict=True))


def _convolution_norm(family: Family, mapping: Mapping[str, Any]) -> Literal["group", "layer"]:
    if family == "data2vec-audio":
        return "layer"
    norm = mapping.get("feat_extract_norm", "group")
    if norm == "group" or norm == "layer":
        return cast(Literal["group", "layer"], norm)
    raise CheckpointError(f"feat_extract_norm in config.json is {norm!r}, it has to be 'group' or 'layer'")


def _positional(family: Family, read: _Reader, width: int) -> Positional:
    groups = read.positive("num_conv_pos_embedding_groups", 16)
    if width % groups:
        raise CheckpointError(f"hidden_size {width} is not a multiple of num_conv_pos_embedding_groups {groups}")
    if family == "data2vec-audio":
        kernel, depth = read.positive("conv_pos_kernel_size", 19), read.positive("num_conv_pos_embeddings", 5)
        return Positional(kernel, groups, depth, batch_norm=False, stacked=True)
    batch_norm = family == "hubert" and read.flag("conv_pos_batch_norm", False)
    kernel = read.positive("num_conv_pos_embeddings", 128)
    return Positional(kernel, groups, depth=1, batch_norm=batch_norm, stacked=False)


def _relative_bias(family: Family, read: _Reader) -> RelativeBias | None:
    if family != "wavlm":
        return None
    return RelativeBias(read.positive("num_buckets", 320), read.positive("max_bucket_distance", 800))
