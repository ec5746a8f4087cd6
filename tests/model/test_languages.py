"""Laws 2 and 3 over mixtures: streams of many languages in one batch give what each gives alone, and transformers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from streaming_asr.audio.samples import Samples
from streaming_asr.errors import CheckpointError
from streaming_asr.model import Context, Encoder, EncoderStream, LanguageLayers

if TYPE_CHECKING:
    from tests.conftest import AsCheckpoint, TinyModel

CONTEXT = Context(chunk=6, lookahead=4, left=11, sinks=2)
SIZES = (12, 7, 15, 9)
"""Labels of each language: heads of different lengths."""


@dataclass(frozen=True, slots=True)
class Part:
    """What belongs to one language, as the reader of checkpoint files gives it."""

    weights: Mapping[str, torch.Tensor]
    labels: tuple[str, ...]
    blank: int = 0


def with_language(tiny_model: TinyModel, number: int) -> Any:
    """The transformers model with the adapter and the head of a language loaded."""
    model = tiny_model("wav2vec2", "adapter", vocab_size=SIZES[number]).double()
    spoken = tiny_model("wav2vec2", "adapter", seed=10 + number, vocab_size=SIZES[number]).double()
    base = tiny_model("wav2vec2", "adapter").double().state_dict()
    own = {name: tensor for name, tensor in spoken.state_dict().items() if "adapter_layer" in name or "lm_head" in name}
    model.load_state_dict({**base, **own})
    return model


def part(model: Any) -> Part:
    names = {name.removeprefix("wav2vec2."): tensor for name, tensor in model.state_dict().items()}
    weights = {name: tensor for name, tensor in names.items() if "adapter_layer" in name or "lm_head" in name}
    labels = ("", " ", *(chr(ord("a") + letter) for letter in range(model.config.vocab_size - 2)))
    return Part(weights, labels)


@pytest.fixture(scope="module")
def models(tiny_model: TinyModel) -> list[Any]:
    return [with_language(tiny_model, number) for number in range(len(SIZES))]


@pytest.fixture
def encoder(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> Encoder:
    checkpoint = as_checkpoint(tiny_model("wav2vec2", "adapter").double(), normalize=False)
    return Encoder.from_checkpoint(checkpoint, precision="float64")


@pytest.fixture
def languages(encoder: Encoder, models: Sequence[Any]) -> list[LanguageLayers]:
    return [encoder.build_language(part(model)) for model in models]


def noise(samples: int, seed: int) -> Samples:
    return np.random.default_rng(seed).normal(0.02, 0.2, samples).astype(np.float32)


def alone(encoder: Encoder, samples: Samples, language: LanguageLayers) -> torch.Tensor:
    stream = encoder.open(CONTEXT, language=language)
    return torch.cat((stream.push(samples), stream.finish()))


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_each_language_equals_transformers_with_its_adapter_loaded(
    encoder: Encoder, languages: Sequence[LanguageLayers], models: Sequence[Any]
) -> None:
    waveform = torch.from_numpy(noise(1500, 1)).double()[None]
    for language, model in zip(languages, models, strict=True):
        close(encoder(waveform, language=language), model(waveform).logits)


def test_streams_of_all_languages_in_one_batch_equal_transformers(
    encoder: Encoder, languages: Sequence[LanguageLayers], models: Sequence[Any]
) -> None:
    recordings = [noise(1500, number) for number in range(len(languages))]
    streams = [encoder.open(Context.whole(), language=language) for language in languages]
    for stream, recording in zip(streams, recordings, strict=True):
        stream.feed(recording)
        stream.close()
    for chunk, model, recording in zip(encoder.step(streams), models, recordings, strict=True):
        close(chunk.logits, model(torch.from_numpy(recording).double()[None]).logits[0])


def test_mixing_languages_does_not_matter(encoder: Encoder, models: Sequence[Any]) -> None:
    """Streams and languages come, go and are built anew whenever they like; each stream gives what it gives alone."""
    chance = random.Random(7)
    parts = [part(model) for model in models]
    held = [encoder.build_language(one) for one in parts]
    recordings = [noise(chance.randrange(0, 2500), seed) for seed in range(16)]
    spoken = [chance.randrange(len(parts)) for _ in recordings]
    live: dict[int, EncoderStream] = {}
    found: dict[int, list[torch.Tensor]] = {number: [] for number in range(len(recordings))}
    waiting, mixtures = list(found), set()
    while waiting or live:
        if waiting and chance.random() < 0.6:
            number = waiting.pop(0)
            live[number] = encoder.open(CONTEXT, language=held[spoken[number]])
        if chance.random() < 0.2:
            reloaded = chance.randrange(len(parts))
            held[reloaded] = encoder.build_language(parts[reloaded])
        for number, stream in live.items():
            if not stream.closed and chance.random() < 0.7:
                stream.feed(recordings[number][stream.received :][: chance.randrange(1, 600)])
                if stream.received == len(recordings[number]):
                    stream.close()
        due = [number for number, stream in live.items() if stream.due]
        chance.shuffle(due)
        mixtures.add(len({spoken[number] for number in due}))
        for number, chunk in zip(due, encoder.step([live[number] for number in due]), strict=True):
            found[number].append(chunk.logits)
        live = {number: stream for number, stream in live.items() if not stream.done}
    assert max(mixtures) == len(parts)
    for number, recording in enumerate(recordings):
        expected = alone(encoder, recording, encoder.build_language(parts[spoken[number]]))
        close(torch.cat([expected[:0], *found[number]]), expected)


def test_the_lookahead_of_a_mixed_batch_has_the_labels_of_its_language(
    encoder: Encoder, languages: Sequence[LanguageLayers]
) -> None:
    streams = [encoder.open(CONTEXT, language=language) for language in languages]
    for stream in streams:
        stream.feed(noise(1000, 0))
    for chunk, size in zip(encoder.step(streams), SIZES, strict=True):
        assert chunk.logits.shape == (6, size)
        assert chunk.lookahead.shape == (4, size)


def test_heads_differ_where_a_network_has_no_adapters(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> None:
    model = tiny_model("wav2vec2", "group").double()
    encoder = Encoder.from_checkpoint(as_checkpoint(model), precision="float64")
    head = {"lm_head.weight": torch.ones(5, 32), "lm_head.bias": torch.arange(5.0)}
    other = encoder.build_language(Part(head, ("", " ", "a", "b", "c")))
    streams = [encoder.open(CONTEXT), encoder.open(CONTEXT, language=other)]
    for stream in streams:
        stream.feed(noise(1000, 0))
    first, second = encoder.step(streams)
    lone = encoder.open(CONTEXT)
    lone.feed(noise(1000, 0))
    close(first.logits, encoder.step([lone])[0].logits)
    close(second.logits - second.logits[:, :1], torch.arange(5.0, dtype=torch.float64).expand(6, -1))


def test_a_language_with_a_part_missing_is_refused(encoder: Encoder, models: Sequence[Any]) -> None:
    whole = part(models[1])
    weights = {
        name: tensor for name, tensor in whole.weights.items() if not name.endswith("layers.1.adapter_layer.norm.bias")
    }
    with pytest.raises(CheckpointError, match=r"layers\.1\.adapter_layer\.norm\.bias"):
        encoder.build_language(Part(weights, whole.labels))


def test_int8_does_not_let_languages_blur_one_another(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> None:
    checkpoint = as_checkpoint(tiny_model("wav2vec2", "adapter"), normalize=False)
    encoder = Encoder.from_checkpoint(checkpoint, precision="int8")
    other = encoder.build_language(part(with_language(tiny_model, 1).float()))
    streams = [encoder.open(CONTEXT), encoder.open(CONTEXT, language=other)]
    for stream in streams:
        stream.feed(noise(1000, 0))
    together = encoder.step(streams)[1].logits
    lone = encoder.open(CONTEXT, language=other)
    lone.feed(noise(1000, 0))
    expected = encoder.step([lone])[0].logits
    # A sum may be rounded the other way in another batch, and then move a value by one of 127 steps.
    assert float((together - expected).norm() / expected.norm()) < 0.01
