"""Laws 1, 3 and 7 for the encoder's streams: cutting and batching change nothing, and nothing grows."""

from __future__ import annotations

import gc
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.samples import Samples
from streaming_asr.errors import AudioError, OptionError, StreamClosedError
from streaming_asr.model import Context, Encoder, EncoderStream, Normalization
from streaming_asr.model.cache import SHORTEST_RING

if TYPE_CHECKING:
    from tests.conftest import AsCheckpoint, TinyModel

LIMITED = Context(chunk=6, lookahead=4, left=11, sinks=2)


@pytest.fixture(
    params=[("wav2vec2", "group"), ("wav2vec2", "unusual"), ("wavlm", "layer"), ("data2vec-audio", "layer")]
)
def encoder(request: pytest.FixtureRequest, tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> Encoder:
    return Encoder.from_checkpoint(as_checkpoint(tiny_model(*request.param).double()), precision="float64")


@pytest.fixture(scope="module")
def tiny_encoder(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> Encoder:
    """One encoder for all examples: group norm, so that every kind of statistics is at work."""
    return Encoder.from_checkpoint(as_checkpoint(tiny_model("wav2vec2", "group-pre").double()), precision="float64")


def noise(samples: int, seed: int) -> Samples:
    generator = np.random.default_rng(seed)
    return (generator.normal(0.05, 0.2, samples) * np.linspace(0.2, 1.0, samples)).astype(np.float32)


def alone(encoder: Encoder, samples: Samples, context: Context = LIMITED) -> torch.Tensor:
    stream = encoder.open(context)
    return torch.cat((stream.push(samples), stream.finish()))


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 1400), max_size=12),
    total=st.integers(0, 1400),
    chunk=st.integers(1, 12),
    lookahead=st.integers(0, 9),
    left=st.none() | st.integers(0, 15),
    sinks=st.integers(0, 4),
    slow=st.booleans(),
)
def test_cutting_does_not_matter(
    tiny_encoder: Encoder,
    cuts: Sequence[int],
    total: int,
    chunk: int,
    lookahead: int,
    left: int | None,
    sinks: int,
    slow: bool,
) -> None:
    context = Context(chunk, lookahead, left, sinks)
    normalization = Normalization.frozen(after_ms=20, time_constant_ms=40) if slow else Normalization.cumulative()
    samples = noise(total, seed=total)
    whole = tiny_encoder.open(context, normalization=normalization)
    whole.feed(samples)
    pieces = tiny_encoder.open(context, normalization=normalization)
    parts = [pieces.push(piece) for piece in np.split(samples, sorted(min(cut, total) for cut in cuts))]
    found = torch.cat((*parts, pieces.finish()))
    close(found, whole.finish())
    assert len(found) == tiny_encoder.config.frames(total) == pieces.frames


def test_batching_does_not_matter(encoder: Encoder) -> None:
    """Streams start, pause and end whenever they like; each gives what it gives alone."""
    chance = random.Random(4)
    recordings = [noise(chance.randrange(0, 2500), seed) for seed in range(12)]
    waiting = list(range(12))
    live: dict[int, EncoderStream] = {}
    position = dict.fromkeys(waiting, 0)
    found: dict[int, list[torch.Tensor]] = {number: [encoder.empty] for number in waiting}
    sizes = set()
    while waiting or live:
        if waiting and chance.random() < 0.5:
            live[waiting[0]] = encoder.open(LIMITED)
            waiting.pop(0)
        for number, stream in live.items():
            if not stream.closed and chance.random() < 0.7:
                piece = recordings[number][position[number] :][: chance.randrange(1, 600)]
                position[number] += len(piece)
                stream.feed(piece)
                if position[number] == len(recordings[number]):
                    stream.close()
        due = [number for number, stream in live.items() if stream.due]
        chance.shuffle(due)
        sizes.add(len(due))
        for number, chunk in zip(due, encoder.step([live[number] for number in due]), strict=True):
            found[number].append(chunk.logits)
        live = {number: stream for number, stream in live.items() if not stream.done}
    assert max(sizes) >= 4
    for number, recording in enumerate(recordings):
        close(torch.cat(found[number]), alone(encoder, recording))


def test_many_streams_step_together(encoder: Encoder) -> None:
    """More of them than the front end computes at once."""
    context = Context(chunk=10, lookahead=3, left=20)
    recordings = [noise(1200 + 17 * number, number) for number in range(15)]
    streams = [encoder.open(context) for _ in recordings]
    for stream, recording in zip(streams, recordings, strict=True):
        stream.feed(recording)
    first, second = encoder.step(streams), encoder.step(streams)
    for number, recording in enumerate(recordings):
        close(torch.cat((first[number].logits, second[number].logits)), alone(encoder, recording, context)[:20])


def test_streams_of_different_contexts_step_together(encoder: Encoder) -> None:
    contexts = [LIMITED, Context(3), Context(5, lookahead=1, left=0), Context.whole(), LIMITED, Context(64)]
    samples = [noise(900 + 50 * number, number) for number in range(len(contexts))]
    streams = [encoder.open(context) for context in contexts]
    found = [[encoder.empty] for _ in streams]
    for stream, audio in zip(streams, samples, strict=True):
        stream.feed(audio)
        stream.close()
    while due := [number for number, stream in enumerate(streams) if stream.due]:
        for number, chunk in zip(due, encoder.step([streams[number] for number in due]), strict=True):
            found[number].append(chunk.logits)
    for number, context in enumerate(contexts):
        close(torch.cat(found[number]), alone(encoder, samples[number], context))


def test_a_chunk_is_due_with_its_lookahead_and_not_before(encoder: Encoder) -> None:
    stream = encoder.open(Context(chunk=5, lookahead=3))
    needed = encoder.config.samples(8)
    stream.feed(noise(needed - 1, 0))
    assert not stream.due
    stream.feed(noise(1, 1))
    assert stream.due
    [chunk] = encoder.step([stream])
    assert (len(chunk.logits), len(chunk.lookahead), stream.frames, stream.due) == (5, 3, 5, False)
    stream.close()
    [chunk] = encoder.step([stream])
    assert (len(chunk.logits), len(chunk.lookahead), stream.frames, stream.done) == (3, 0, 8, True)


def test_closing_before_or_after_the_last_whole_chunk_is_stepped_makes_no_difference(encoder: Encoder) -> None:
    """The end of the input is known early to one of these streams and late to the other."""
    samples = noise(encoder.config.samples(10) + encoder.hop - 1, 5)
    early, late = encoder.open(LIMITED), encoder.open(LIMITED)
    early.feed(samples)
    close(early.finish(), torch.cat((late.push(samples), late.finish())))


def test_memory_does_not_grow_with_a_stream(encoder: Encoder) -> None:
    stream = encoder.open(LIMITED)
    stream.push(noise(1000, 0))
    assert stream.cache_row is not None
    cache = stream.cache_row.cache
    tensors = [*(ring.pairs for ring in cache.rings), *cache.carries, cache.frames]
    for second in range(20):
        stream.push(noise(1000, second))
        assert stream.held < encoder.config.samples(2 * LIMITED.rows)
    assert stream.cache_row is not None
    assert stream.cache_row.cache is cache
    now = [*(ring.pairs for ring in cache.rings), *cache.carries, cache.frames]
    assert all(before is after for before, after in zip(tensors, now, strict=True))


def test_rows_of_the_memory_are_used_again(encoder: Encoder) -> None:
    first, second, third = (encoder.open(LIMITED) for _ in range(3))
    for stream in (first, second, third):
        stream.push(noise(1000, 0))
    assert first.cache_row is not None
    cache = first.cache_row.cache
    assert len(cache.frames) == 4
    first.finish()
    assert first.cache_row is None
    del second, stream
    gc.collect()
    fresh = [encoder.open(LIMITED) for _ in range(3)]
    for stream in fresh:
        stream.push(noise(1000, 1))
    assert len(cache.frames) == 4
    expected = alone(encoder, noise(1000, 1))[: fresh[0].frames]
    for stream, number in zip(fresh, range(3), strict=True):
        assert stream.cache_row is not None, number
        assert stream.cache_row.cache is cache
    again = encoder.open(LIMITED)
    close(again.push(noise(1000, 1)), expected)


def test_memories_of_contexts_that_nobody_uses_are_dropped(encoder: Encoder) -> None:
    for chunk in range(2, 8):
        alone(encoder, noise(900, 0), Context(chunk, left=10))
    assert len(encoder.caches) == 1


def test_unlimited_left_context_outgrows_its_first_memory(encoder: Encoder) -> None:
    samples = noise(encoder.config.samples(SHORTEST_RING + 100), 0)
    wide = Context(chunk=40, lookahead=3, left=SHORTEST_RING + 200)
    close(alone(encoder, samples, Context(chunk=40, lookahead=3)), alone(encoder, samples, wide))


def test_samples_have_to_be_one_finite_row(encoder: Encoder) -> None:
    stream = encoder.open(LIMITED)
    with pytest.raises(AudioError, match=r"shape \(1, 5\)"):
        stream.feed(np.zeros((1, 5), np.float32))
    for value in (np.nan, np.inf):
        with pytest.raises(AudioError, match="NaN or infinity"):
            stream.feed(np.array([0.0, value], np.float32))
    assert stream.received == 0


def test_nothing_can_be_fed_after_the_end(encoder: Encoder) -> None:
    stream = encoder.open(LIMITED)
    stream.finish()
    assert len(stream.finish()) == 0
    with pytest.raises(StreamClosedError):
        stream.push(noise(1, 0))


def test_a_step_takes_streams_that_are_due_and_each_once(encoder: Encoder) -> None:
    stream = encoder.open(LIMITED)
    with pytest.raises(OptionError, match="no whole chunk"):
        encoder.step([stream])
    stream.feed(noise(2000, 0))
    with pytest.raises(OptionError, match="twice"):
        encoder.step([stream, stream])
    assert encoder.step([]) == []


def test_int8_does_not_let_streams_blur_one_another(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> None:
    encoder = Encoder.from_checkpoint(as_checkpoint(tiny_model("wav2vec2", "layer"), normalize=False), precision="int8")
    quiet, loud = noise(1000, 0) * 0.1, noise(1000, 1) * 30
    streams = [encoder.open(LIMITED), encoder.open(LIMITED)]
    for stream, samples in zip(streams, (quiet, loud), strict=True):
        stream.feed(samples)
    together = encoder.step(streams)[0].logits
    lone = encoder.open(LIMITED)
    lone.feed(quiet)
    expected = encoder.step([lone])[0].logits
    # A sum may be rounded the other way in another batch, and then move a value by one of 127 steps.
    assert float((together - expected).norm() / expected.norm()) < 0.01
