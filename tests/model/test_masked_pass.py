"""Law 2 for limited context: a stream equals one masked offline pass with copied lookahead rows.

The reference is written with transformers' own layers and the public masks, and with statistics computed from scratch
for every chunk; it shares no code with the stream.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F

from streaming_asr.model import Chunk, Context, Encoder, Normalization
from tests.model.masks import attention_mask, masked_positions, rows

if TYPE_CHECKING:
    from tests.conftest import AsCheckpoint, TinyModel

CONTEXTS = (
    Context(chunk=10, lookahead=5, left=20, sinks=3),
    Context(chunk=4, lookahead=7, left=9),
    Context(chunk=8, lookahead=0, left=None),
    Context(chunk=7, lookahead=30, left=0),
    Context(chunk=3, lookahead=1, left=0, sinks=5),
    Context(chunk=60, lookahead=4, left=2),
)


def moments(samples: torch.Tensor, borders: list[int], normalization: Normalization) -> list[tuple[float, float]]:
    """Mean and variance after each border, from the definition: weighted sums over all samples so far."""
    found, weights, start = [], torch.empty(0, dtype=torch.float64), 0
    for stop in borders:
        share = normalization.share(start, stop - start) or (stop - start) / stop
        fresh = torch.full((stop - start,), share / (stop - start), dtype=torch.float64)
        weights, start = torch.cat((weights * (1 - share), fresh)), stop
        mean = float((weights * samples[:stop]).sum())
        found.append((mean, float((weights * (samples[:stop] - mean) ** 2).sum())))
    return found


def layer_zero(model: Any, samples: torch.Tensor, level: tuple[float, float] | None, stop: int) -> torch.Tensor:
    """All outputs (channels, time) of the first layer, if the stream had ended after `stop` samples."""
    layer = model.base_model.feature_extractor.conv_layers[0]
    if level is not None:
        samples = (samples - level[0]) / math.sqrt(level[1] + 1e-7)
    hidden = layer.conv(samples[None, None])
    if isinstance(getattr(layer, "layer_norm", None), torch.nn.GroupNorm):
        so_far = layer.conv(samples[None, None, :stop])
        mean, variance = so_far.mean(2, keepdim=True), so_far.var(2, unbiased=False, keepdim=True)
        norm = layer.layer_norm
        hidden = (hidden - mean) / torch.sqrt(variance + norm.eps) * norm.weight[:, None] + norm.bias[:, None]
    else:
        hidden = layer.layer_norm(hidden.transpose(1, 2)).transpose(1, 2)
    return torch.as_tensor(layer.activation(hidden)[0])


def features(model: Any, encoder: Encoder, samples: torch.Tensor, context: Context, normalize: bool) -> torch.Tensor:
    """Projected frames (1, frames, width) with the statistics that a stream has when it first sees each of them."""
    config, total = encoder.config, len(samples)
    frames = config.frames(total)
    steps = range(-(-frames // context.chunk))
    seen = [min(frames, context.visible(step)) for step in steps]
    fresh = [step for step in steps if step == 0 or seen[step] > seen[step - 1]]
    borders = [config.samples(seen[step]) if seen[step] == context.visible(step) else total for step in fresh]
    levels = moments(samples, borders, Normalization.cumulative())
    parts, start = [], 0
    for step, stop, level in zip(fresh, borders, levels, strict=True):
        outputs = config.first_outputs(config.samples(seen[step]))
        parts.append(layer_zero(model, samples, level if normalize else None, stop)[:, start:outputs])
        start = outputs
    hidden = torch.cat(parts, dim=1)[None]
    for layer in list(model.base_model.feature_extractor.conv_layers)[1:]:
        hidden = layer(hidden)
    projected = model.base_model.feature_projection(hidden.transpose(1, 2))
    return torch.as_tensor(projected[0] if isinstance(projected, tuple) else projected)


def distance_bias(attention: Any, positions: torch.Tensor) -> torch.Tensor:
    """WavLM's bias (heads, rows, rows) for rows at these positions."""
    buckets = attention._relative_positions_bucket(positions[None, :] - positions[:, None])
    return torch.as_tensor(attention.rel_attn_embed(buckets).permute(2, 0, 1))


def masked_pass(
    model: Any, encoder: Encoder, samples: torch.Tensor, context: Context, normalize: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores of all rows (rows, labels), which of them are copies, and their chunks."""
    projected = features(model, encoder, samples, context, normalize)
    layout = rows(projected.shape[1], context)
    core = model.base_model.encoder
    positions = masked_positions(core.pos_conv_embed, projected, layout, context, encoder.config.positional_reach)
    hidden = projected[:, layout.positions] + positions
    hidden = hidden if encoder.config.norm_first else core.layer_norm(hidden)
    mask = torch.zeros(len(layout.positions), len(layout.positions), dtype=torch.float64)
    mask = mask.masked_fill(~attention_mask(layout, context), -torch.inf)
    for layer in core.layers:
        if encoder.config.relative_bias is None:
            output = layer(hidden, attention_mask=mask[None, None])
        else:
            bias = distance_bias(core.layers[0].attention, layout.positions) + mask
            output = layer(hidden, position_bias=bias)
        hidden = output[0] if isinstance(output, tuple) else output
    hidden = core.layer_norm(hidden) if encoder.config.norm_first else hidden
    return model.lm_head(hidden)[0], layout.copies, layout.chunks


def streamed(encoder: Encoder, samples: torch.Tensor, context: Context) -> list[Chunk]:
    stream = encoder.open(context)
    stream.feed(samples.numpy())
    stream.close()
    chunks = []
    while stream.due:
        chunks += encoder.step([stream])
    return chunks


def noise(samples: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    loudness = torch.linspace(0.05, 0.5, samples, dtype=torch.float64)
    return torch.randn(samples, dtype=torch.float64, generator=generator) * loudness + 0.1


def test_a_stream_with_limited_context_equals_one_masked_pass(
    tiny_model: TinyModel, as_checkpoint: AsCheckpoint, family_variant: tuple[str, str]
) -> None:
    model = tiny_model(*family_variant, seed=3).double()
    for number, context in enumerate(CONTEXTS):
        normalize = number % 2 == 0
        encoder = Encoder.from_checkpoint(as_checkpoint(model, normalize=normalize), precision="float64")
        samples = noise(1000 + 137 * number, seed=number)
        scores, copies, chunks = masked_pass(model, encoder, samples, context, normalize)
        steps = streamed(encoder, samples, context)
        emitted = torch.cat([step.logits for step in steps])
        torch.testing.assert_close(emitted, scores[~copies], rtol=0, atol=1e-10)
        for index, step in enumerate(steps):
            torch.testing.assert_close(step.lookahead, scores[copies & (chunks == index)], rtol=0, atol=1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_it_does_so_for_random_shapes_and_contexts(
    tiny_model: TinyModel, as_checkpoint: AsCheckpoint, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)

    def between(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=draw))

    layers = between(1, 4)
    changes = {
        "conv_dim": [4 * between(1, 3) for _ in range(layers)],
        "conv_kernel": [between(1, 9) for _ in range(layers)],
        "conv_stride": [between(1, 4) for _ in range(layers)],
        "num_conv_pos_embeddings": between(1, 11),
    }
    family, variant = [("wav2vec2", "group"), ("wav2vec2", "layer"), ("wavlm", "group")][seed % 3]
    model = tiny_model(family, variant, seed=seed, **changes).double()
    encoder = Encoder.from_checkpoint(as_checkpoint(model), precision="float64")
    context = Context(between(1, 12), between(0, 8), between(0, 20), between(0, 4))
    samples = noise(encoder.config.samples(between(1, 60)) + between(0, encoder.hop - 1), seed)
    scores, copies, _ = masked_pass(model, encoder, samples, context, True)
    emitted = torch.cat([step.logits for step in streamed(encoder, samples, context)])
    torch.testing.assert_close(emitted, scores[~copies], rtol=0, atol=1e-10)


def test_what_a_frame_sees_ends_with_its_lookahead_and_starts_with_its_left_context(
    tiny_model: TinyModel, as_checkpoint: AsCheckpoint
) -> None:
    """Not by way of the masks: change audio that a chunk must not see, and see that it does not."""
    model = tiny_model("wav2vec2", "layer", num_hidden_layers=1).double()
    encoder = Encoder.from_checkpoint(as_checkpoint(model, normalize=False), precision="float64")
    context = Context(chunk=5, lookahead=2, left=10)
    samples = noise(encoder.config.samples(60), seed=1)
    behind, before = samples.clone(), samples.clone()
    behind[encoder.config.samples(32) :] += 1.0  # the frames behind chunk 5 (25 to 29) and its lookahead
    reach = context.chunk + 10 + encoder.config.positional_reach  # frames that chunk 5 sees, itself or by position
    before[: (30 - reach) * encoder.hop] += 1.0
    chunks = [streamed(encoder, audio, context)[5].logits for audio in (samples, behind, before)]
    torch.testing.assert_close(chunks[1], chunks[0], rtol=0, atol=0)
    torch.testing.assert_close(chunks[2], chunks[0], rtol=0, atol=0)
    behind[encoder.config.samples(31) : encoder.config.samples(32)] += 1.0
    before[(30 - reach) * encoder.hop : (31 - reach) * encoder.hop] += 1.0
    for audio in (behind, before):
        assert not torch.equal(streamed(encoder, audio, context)[5].logits, chunks[0])


def test_padding_of_the_layer_norm_epsilon_is_that_of_the_front_end(
    tiny_model: TinyModel, as_checkpoint: AsCheckpoint
) -> None:
    """The front end's norms have their own epsilon whatever the configuration says (quiet audio shows it)."""
    model = tiny_model("wav2vec2", "layer", layer_norm_eps=0.5).double()
    encoder = Encoder.from_checkpoint(as_checkpoint(model, normalize=False), precision="float64")
    quiet = noise(900, seed=2)[None] * 1e-3
    torch.testing.assert_close(encoder(quiet), model(quiet).logits, rtol=0, atol=1e-10)
    assert F.mse_loss(encoder(quiet), encoder(quiet * 1000)) > 0
