"""The encoder: offline, equal to transformers, and in streams, equal to one masked offline pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
import torch
import torch.nn.functional as F

from streaming_asr.audio.samples import FloatArray
from streaming_asr.checkpoints.config import Config
from streaming_asr.errors import OptionError
from streaming_asr.model.cache import CacheLayout, CacheRow, StreamCache
from streaming_asr.model.context import Context
from streaming_asr.model.features import FeatureEncoder
from streaming_asr.model.language import LanguageLayers
from streaming_asr.model.normalization import Normalization
from streaming_asr.model.parameters import Weights
from streaming_asr.model.stepping import Batch, Entry, grouped
from streaming_asr.model.stream import Chunk, EncoderStream, Job
from streaming_asr.model.transformer import Transformer

Precision: TypeAlias = Literal["float32", "float64", "bfloat16", "int8"]
"""int8 means int8 products on the CPU, everything between them in float32."""

DTYPES: Mapping[Precision, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "int8": torch.float32,
}


class ReadCheckpoint(Protocol):
    """What the encoder needs of a checkpoint that was read from its files."""

    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def weights(self) -> Mapping[str, torch.Tensor]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def blank(self) -> int: ...
    @property
    def normalize(self) -> bool: ...


class ReadLanguage(Protocol):
    """What the encoder needs of one language of a checkpoint: the tensors of its adapters and its head."""

    @property
    def weights(self) -> Mapping[str, torch.Tensor]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def blank(self) -> int: ...


class Encoder:
    """A wav2vec2 network with a CTC head, from samples to scores of labels.

    Calling it computes whole recordings. `open` makes streams; `step` computes one chunk of many of them in one batch.
    The weights never change, so calls may come from any thread; steps and pushes have to come from one at a time.
    """

    def __init__(
        self,
        config: Config,
        weights: Weights,
        labels: tuple[str, ...],
        *,
        blank: int,
        normalize: bool,
    ) -> None:
        self.config = config
        self.device = weights.device
        self.dtype = weights.dtype
        self.features = FeatureEncoder.build(config, normalize, weights)
        self.transformer = Transformer.build(config, weights)
        self.language = LanguageLayers.build(config, labels, blank, weights)
        """The language of streams that name none."""
        self.caches: dict[CacheLayout, StreamCache] = {}
        """The caches that streams use now, one per layout."""

    @classmethod
    def load(
        cls,
        name_or_folder: str | Path,
        *,
        language: str | None = None,
        revision: str | None = None,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
    ) -> Encoder:
        """Read a checkpoint from a folder or the hub and build its encoder.

        language: which adapter of an MMS checkpoint. Raises CheckpointError if the checkpoint cannot be used.
        """
        from streaming_asr.checkpoints.checkpoint import read_checkpoint

        checkpoint = read_checkpoint(name_or_folder, language=language, revision=revision)
        return cls.from_checkpoint(checkpoint, device=device, precision=precision)

    @classmethod
    def from_checkpoint(
        cls, checkpoint: ReadCheckpoint, *, device: str | torch.device = "cpu", precision: Precision = "float32"
    ) -> Encoder:
        """Build the encoder of a checkpoint.

        Raises CheckpointError if weights are missing or the family is not supported, OptionError on a device
        that is not there and on a precision that is unknown or that the device does not have.
        """
        if precision not in get_args(Precision):
            raise OptionError(f"precision is {precision!r}, known are {', '.join(get_args(Precision))}")
        place = _usable_device(device)
        if precision == "int8" and place.type != "cpu":
            raise OptionError(f"precision int8 runs on the CPU only, the device is {place}; use bfloat16 there")
        weights = Weights(checkpoint.weights, place, DTYPES[precision], quantized=precision == "int8")
        config = Config.parse(checkpoint.config)
        return cls(config, weights, checkpoint.labels, blank=checkpoint.blank, normalize=checkpoint.normalize)

    def build_language(self, language: ReadLanguage) -> LanguageLayers:
        """One more language for this network. Raises CheckpointError if a part of it is missing."""
        weights = Weights(language.weights, self.device, self.dtype)
        return LanguageLayers.build(self.config, language.labels, language.blank, weights)

    @property
    def labels(self) -> tuple[str, ...]:
        """One per column of the logits; blank is "", the word delimiter is " "."""
        return self.language.labels

    @property
    def blank(self) -> int:
        """The column of blank."""
        return self.language.blank

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.config.hop

    @property
    def receptive_field(self) -> int:
        """Samples that one frame is made of: frame t is made of samples [t * hop, t * hop + receptive_field)."""
        return self.config.receptive_field

    @property
    def empty(self) -> torch.Tensor:
        """The scores of no frames: (0, labels)."""
        return torch.empty(0, len(self.labels), dtype=self._logits_dtype, device=self.device)

    def __call__(self, waveform: torch.Tensor | FloatArray, *, language: LanguageLayers | None = None) -> torch.Tensor:
        """Score whole recordings of equal length: (batch, samples) -> (batch, frames, labels), before softmax.

        Every recording is normalized by itself where the checkpoint asks for it. Recordings of different lengths do not
        belong into one call: padding would change what the norms measure.
        """
        recordings = np.asarray(torch.as_tensor(waveform).detach().cpu())
        if recordings.ndim != 2:
            raise OptionError(f"waveform has shape {recordings.shape}, it has to be (batch, samples)")
        recordings = recordings.astype(np.float64 if self.dtype == torch.float64 else np.float32)
        batch, samples = recordings.shape
        frames = self.config.frames(samples)
        language = language or self.language
        if not frames or not batch:
            return self.empty.new_empty(batch, frames, len(language.labels))
        with torch.inference_mode():
            statistics = [self.features.measure(recording, 0, samples) for recording in recordings]
            tensor = torch.from_numpy(recordings).to(self.device)
            projected, _ = self.features.run(tensor, statistics, 0, frames, None)
            reach = self.transformer.positional.reach
            valid = (torch.arange(reach + frames, device=self.device) >= reach).expand(batch, -1)
            return self.transformer(F.pad(projected, (0, 0, reach, 0)), language, valid).to(self._logits_dtype)

    def open(
        self,
        context: Context,
        *,
        normalization: Normalization | None = None,
        language: LanguageLayers | None = None,
    ) -> EncoderStream:
        """A new stream; normalization defaults to cumulative statistics from its start, language to the encoder's."""
        return EncoderStream(self, context, normalization or Normalization.cumulative(), language or self.language)

    def step(self, streams: Sequence[EncoderStream]) -> list[Chunk]:
        """Compute the next chunk of each stream, those of equal context in one batch.

        What else is in the batch changes nothing. Raises OptionError if a stream is not due or comes twice.
        """
        if len({id(stream) for stream in streams}) < len(streams):
            raise OptionError("a stream came twice in one step")
        if not all(stream.due for stream in streams):
            raise OptionError("a stream came to a step that has no whole chunk yet and is not closed")
        chunks: dict[int, Chunk] = {}
        groups = grouped(streams)
        with torch.inference_mode():
            for (context, layout), members in groups.items():
                chunks |= self._step_group(context, layout, [(number, streams[number], job) for number, job in members])
        self._drop_idle(keep={layout for _, layout in groups})
        return [chunks[number] for number in range(len(streams))]

    def _step_group(
        self, context: Context, layout: CacheLayout | None, members: Sequence[tuple[int, EncoderStream, Job]]
    ) -> dict[int, Chunk]:
        """One batch: the chunks of its streams by their numbers."""
        cache = None if layout is None else self._cache(layout)
        entries = [self._entry(stream, job, cache) for _, stream, job in members]
        scores = Batch(context, entries, cache).run(self.features, self.transformer).to(self._logits_dtype)
        chunks: dict[int, Chunk] = {}
        for (number, stream, job), rows in zip(members, scores, strict=True):
            main = min(job.count, context.chunk)
            scored = rows[:, : len(stream.language.labels)]
            chunks[number] = Chunk(scored[:main], scored[main : job.count])
            stream.advance(job)
        return chunks

    @property
    def _logits_dtype(self) -> torch.dtype:
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def _cache(self, layout: CacheLayout) -> StreamCache:
        if layout not in self.caches:
            self.caches[layout] = StreamCache.empty(layout, self.features, self.transformer)
        return self.caches[layout]

    def _drop_idle(self, keep: set[CacheLayout | None]) -> None:
        """Delete caches that no stream uses, so that contexts of earlier streams do not pile up."""
        for layout in [layout for layout, cache in self.caches.items() if cache.idle and layout not in keep]:
            del self.caches[layout]

    def _entry(self, stream: EncoderStream, job: Job, cache: StreamCache | None) -> Entry:
        """The stream in the batch, with a row of the cache; a stream that has outgrown its cache is copied here."""
        if cache is None:
            return Entry(stream, job, 0)
        if stream.cache_row is None or stream.cache_row.cache is not cache:
            cache_row = CacheRow.reserve(cache, stream)
            if stream.cache_row is not None:
                cache.copy(cache_row.row, stream.cache_row.cache, stream.cache_row.row)
                stream.cache_row.release()
            stream.cache_row = cache_row
        return Entry(stream, job, stream.cache_row.row)


def _usable_device(device: str | torch.device) -> torch.device:
    """The device, tried out: a build of torch without it says so only when it is used."""
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise OptionError(f"device {str(device)!r} cannot be used ({reason}); 'cpu' always can") from error
    return place
