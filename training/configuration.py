"""What one TOML file says about a run; unknown keys are refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from training.augment import AugmentOptions
from training.batches import BatchOptions

_Options = TypeVar("_Options")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Where the weights start: a Hugging Face folder, or nothing (then `shape` is a folder with a config.json).

    `layers` names for each transformer layer the one it starts from; `frozen` are prefixes of parameters that
    stay as they are; `mel` puts a mel filter bank into the first two convolutions of a new model.
    """

    start: str = ""
    shape: str = ""
    layers: tuple[int, ...] = ()
    frozen: tuple[str, ...] = ()
    mel: bool = False
    blank_bias: float = -2.0


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """One corpus folder of `training.prepare` and how often it passes per epoch.

    `only` and `without` name collections (the first folders of the manifest's paths) to keep or to leave out.
    """

    folder: str
    part: str = "train"
    share: float = 1.0
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamingOptions:
    """How much is trained as a stream and how such a stream sees, in encoder frames.

    `contexts` are (chunk, lookahead, weight); `lefts` holds left contexts to choose from, -1 is unlimited.
    """

    share: float = 0.5
    contexts: tuple[tuple[int, int, int], ...] = ((8, 0, 3), (16, 0, 2), (16, 8, 4), (8, 4, 1))
    lefts: tuple[int, ...] = (48, 100, 160, -1)
    sinks: tuple[int, ...] = (0, 8)
    distillation: float = 0.0


@dataclass(frozen=True, slots=True)
class ObjectiveOptions:
    """Masks on the convolution output and the losses beside CTC; widths in frames or channels.

    `time_masks` is how many there are per 100 frames, `feature_masks` how many per utterance.
    `layer_drop` is the probability that a layer is left out of a batch (Fan et al. 2019).
    """

    time_masks: float = 2.0
    time_width: int = 8
    feature_masks: int = 2
    feature_width: int = 24
    intermediate_layer: int = 0
    intermediate_weight: float = 0.0
    consistency: float = 0.0
    layer_drop: float = 0.0


@dataclass(frozen=True, slots=True)
class ImitationOptions:
    """How the states of Whisper's layers are imitated: `folder` is where its package goes, empty without a teacher.

    `share` is that of the batches that do; `head_alone` keeps the CTC loss from everything below the layers that are
    not Whisper's.
    """

    folder: str = ""
    weight: float = 1.0
    share: float = 1.0
    head_alone: bool = False


@dataclass(frozen=True, slots=True)
class TeachingOptions:
    """What a teacher said of the undisturbed recordings (`training.teacher`) as targets for each frame.

    It has the frames and the labels of the model; `weight` is that of the divergence per frame.
    """

    folder: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class OptimizerOptions:
    """AdamW, or Muon for the matrices, with a warm-up in steps and a cosine that ends at zero with the run.

    `rates` are (part of a parameter's name, factor of its learning rate); the first that fits counts.
    """

    peak: float = 1e-3
    muon: bool = False
    momentum: float = 0.95
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip: float = 1.0
    rates: tuple[tuple[str, float], ...] = ()
    average_decay: float = 0.97
    average_every: int = 10


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where it is written, how long it takes (`steps`, or wall clock `until` HH:MM or `minutes`) and on what."""

    folder: str
    seed: int = 0
    steps: int = 0
    minutes: float = 0.0
    until: str = ""
    device: str = "cpu"
    bfloat16: bool = True
    workers: int = 1
    loaders: int = 1
    threads: int = 1
    checkpoint_minutes: float = 10.0
    log_every: int = 20


@dataclass(frozen=True, slots=True)
class Configuration:
    """One run; `noise` and `rooms` are corpus folders, `phones` is a lexicon of `training.phones`; all may be empty."""

    model: ModelOptions
    sources: tuple[SourceOptions, ...]
    batches: BatchOptions
    run: RunOptions
    augmentation: AugmentOptions = field(default_factory=AugmentOptions)
    streaming: StreamingOptions = field(default_factory=StreamingOptions)
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)
    imitation: ImitationOptions = field(default_factory=ImitationOptions)
    teaching: TeachingOptions = field(default_factory=TeachingOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    noise: str = ""
    rooms: str = ""
    phones: str = ""

    @classmethod
    def read(cls, path: Path) -> Configuration:
        """A configuration file."""
        return cls.parse(tomllib.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Configuration:
        """The tables of a configuration file."""
        data = content.get("data", {})
        return cls(
            model=_options(ModelOptions, content.get("model", {})),
            sources=tuple(_options(SourceOptions, source) for source in data.get("sources", ())),
            noise=data.get("noise", ""),
            rooms=data.get("rooms", ""),
            phones=data.get("phones", ""),
            batches=_options(BatchOptions, content["batches"]),
            run=_options(RunOptions, content["run"]),
            augmentation=_options(AugmentOptions, content.get("augmentation", {})),
            streaming=_options(StreamingOptions, content.get("streaming", {})),
            objective=_options(ObjectiveOptions, content.get("objective", {})),
            teaching=_options(TeachingOptions, content.get("teaching", {})),
            imitation=_options(ImitationOptions, content.get("imitation", {})),
            optimizer=_options(OptimizerOptions, content.get("optimizer", {})),
        )


def _options(kind: type[_Options], table: Mapping[str, Any]) -> _Options:
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(table) - known)
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    return kind(**{name: _frozen(value) for name, value in table.items()})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value
