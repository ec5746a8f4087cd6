from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from training.augment import AugmentOptions, Surroundings
from training.batches import Batch, BatchMaker, Source
from training.configuration import (
    Configuration,
    ImitationOptions,
    ObjectiveOptions,
    StreamingOptions,
)
from training.corpus import Corpus
from training.model import Shape, StreamingCtc
from training.objective import Targets, choose_context, loss_of, mask_features
from training.train import batch_maker, make_optimizers, prepare_run, save, train, train_step, update_average

from .conftest import BATCHES


@pytest.fixture
def maker(corpus: Corpus, shape: Shape) -> BatchMaker:
    return BatchMaker([Source(corpus)], shape, BATCHES, AugmentOptions(), Surroundings(), seed=5)


def test_a_batch_depends_on_its_step_alone(maker: BatchMaker, corpus: Corpus, shape: Shape) -> None:
    again = BatchMaker([Source(corpus)], shape, BATCHES, AugmentOptions(), Surroundings(), seed=5)
    again.batch(3)
    one, other = maker.batch(7), again.batch(7)
    assert np.array_equal(one.audio, other.audio)
    assert np.array_equal(one.letters.rows, other.letters.rows)
    assert not np.array_equal(one.audio[:, :100], maker.batch(7 + maker.epoch_length).audio[: len(one.audio), :100])


def test_batches_have_few_shapes_and_fit(maker: BatchMaker) -> None:
    batches = [maker.batch(step) for step in range(2 * maker.epoch_length)]
    assert len({batch.audio.shape for batch in batches}) <= len(BATCHES.frames)
    for batch in batches:
        assert (batch.frames <= maker.shape.frames(batch.audio.shape[1])).all()
        assert batch.letters.counts.sum() == len(batch.letters.rows)


def tensors(batch: Batch) -> tuple[Tensor, Tensor, Targets]:
    """Audio, frames and letters as the objective takes them."""
    letters = Targets.of(batch.letters, torch.device("cpu"))
    return torch.from_numpy(batch.audio).float(), torch.from_numpy(batch.frames), letters


def losses(model: StreamingCtc, batch: Batch, steps: int) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    options = ObjectiveOptions(time_masks=0, feature_masks=0, intermediate_layer=1, intermediate_weight=0.3)
    streaming = StreamingOptions(contexts=((8, 4, 1),), distillation=0.3)
    seen: list[float] = []
    for step in range(steps):
        generator = np.random.default_rng(step)
        context = choose_context(streaming, generator)
        loss, plain = loss_of(model, *tensors(batch), None, context, streaming, options, generator)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seen.append(plain)
    return seen


def test_training_on_one_batch_lowers_its_loss(model: StreamingCtc, maker: BatchMaker) -> None:
    seen = losses(model, maker.batch(0), 40)
    assert np.mean(seen[-5:]) < 0.7 * np.mean(seen[:3])


def test_consistency_adds_a_second_view(model: StreamingCtc, maker: BatchMaker) -> None:
    batch = maker.batch(0)
    plain, both = (
        loss_of(
            model,
            *tensors(batch),
            None,
            None,
            StreamingOptions(),
            ObjectiveOptions(consistency=share),
            np.random.default_rng(0),
        )[0]
        for share in (0.0, 0.2)
    )
    assert float(both.detach()) > 1.5 * float(plain.detach())


def test_masks_hide_whole_frames_and_whole_channels() -> None:
    options = ObjectiveOptions(time_masks=2.5, time_width=6, feature_masks=1, feature_width=6)
    kept = mask_features(torch.ones(4, 40, 24), options, np.random.default_rng(0)) != 0
    hidden_frames, hidden_channels = ~kept.any(2), ~kept.any(1)
    assert torch.equal(kept, ~(hidden_frames[:, :, None] | hidden_channels[:, None, :]))
    assert 0 < hidden_frames.sum() <= 4 * 6
    assert 0 < hidden_channels.sum() <= 4 * 6


def test_longer_recordings_have_more_masks() -> None:
    options = ObjectiveOptions(time_masks=5, time_width=6, feature_masks=0)
    shares = [
        1 - mask_features(torch.ones(32, frames, 4), options, np.random.default_rng(0)).mean() for frames in (60, 600)
    ]
    assert 0.05 < float(shares[0]) < 1.5 * float(shares[1])
    assert 0.05 < float(shares[1]) < 1.5 * float(shares[0])


def steps_of(configuration: Configuration, steps: range) -> dict[str, Tensor]:
    shared = prepare_run(configuration)
    assert shared.step.value == steps.start
    optimizers = make_optimizers(shared, 0)
    maker = batch_maker(configuration, shared.start, shared.phones)
    for step in steps:
        train_step(shared, optimizers, maker.batch(step), step)
        update_average(shared)
    shared.step.value = steps.stop
    save(shared, optimizers, 0)
    return {name: value.clone() for name, value in (shared.model.state_dict() | shared.average).items()}


@pytest.mark.parametrize("muon", [False, True])
def test_a_resumed_run_is_bit_equal_to_an_uninterrupted_one(
    configuration: Configuration, tmp_path: Path, muon: bool
) -> None:
    dropping = replace(configuration.objective, layer_drop=0.3)
    configuration = replace(configuration, objective=dropping, optimizer=replace(configuration.optimizer, muon=muon))
    whole = steps_of(configuration, range(6))
    elsewhere = replace(configuration, run=replace(configuration.run, folder=str(tmp_path / "other")))
    steps_of(elsewhere, range(3))
    resumed = steps_of(elsewhere, range(3, 6))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_ends_with_a_model_and_a_log(configuration: Configuration, workers: int, tmp_path: Path) -> None:
    run = replace(configuration.run, workers=workers, folder=str(tmp_path / f"run{workers}"))
    folder = train(replace(configuration, run=run), progress=False)
    assert folder.name == "final"
    assert (folder / "model.safetensors").exists()
    lines = [json.loads(line) for line in (Path(run.folder) / "log.jsonl").read_text().splitlines()]
    assert sorted(line["step"] for line in lines) == list(range(8))
    assert all(np.isfinite(line["loss"]) for line in lines)


def test_frozen_parameters_do_not_move(configuration: Configuration) -> None:
    frozen = replace(configuration, model=replace(configuration.model, frozen=("feature_extractor.",)))
    before = {name: value.clone() for name, value in prepare_run(frozen).model.state_dict().items()}
    after = steps_of(frozen, range(2))
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved
    assert not any(name.startswith("feature_extractor.") for name in moved)


def test_unknown_keys_of_a_configuration_are_refused() -> None:
    content: dict[str, Any] = {"batches": {"frames": [8], "seconds": 1.0}, "run": {"folder": "x", "speed": 3}}
    with pytest.raises(ValueError, match="speed"):
        Configuration.parse(content)


def test_muon_moves_the_matrices_and_adamw_the_rest(configuration: Configuration) -> None:
    with_muon = replace(configuration, optimizer=replace(configuration.optimizer, muon=True))
    shared = prepare_run(with_muon)
    adamw, muon = (
        {id(weight) for group in optimizer.param_groups for weight in group["params"]}
        for optimizer in make_optimizers(shared, 0)
    )
    weights = dict(shared.model.named_parameters())
    assert adamw | muon == {id(weight) for weight in weights.values()}
    assert not adamw & muon
    layer = "encoder.layers.0."
    assert {
        id(weights[layer + "attention.q_proj.weight"]),
        id(weights[layer + "feed_forward.output_dense.weight"]),
    } <= muon
    assert {id(weights["lm_head.weight"]), id(weights["encoder.pos_conv_embed.conv.weight"])} <= adamw


def test_a_run_imitates_a_teacher_with_the_head_alone_learning_letters(
    configuration: Configuration, tmp_path: Path, whisper_folder: Path
) -> None:
    imitating = replace(
        configuration,
        imitation=ImitationOptions(str(whisper_folder), weight=0.0, head_alone=True),
        optimizer=replace(configuration.optimizer, rates=(("lm_head", 2.0),), weight_decay=0.0),
    )
    (tmp_path / "run").mkdir()
    shared = prepare_run(imitating)
    before = {name: value.clone() for name, value in shared.model.state_dict().items()}
    optimizers = make_optimizers(shared, 0)
    line = train_step(shared, optimizers, batch_maker(imitating, shared.start).batch(0), 0)
    assert line["unexplained"] > 0
    moved = {name for name, value in shared.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"lm_head.weight", "lm_head.bias", "encoder.layer_norm.weight", "encoder.layer_norm.bias"}


def test_layers_that_are_not_the_teachers_learn_letters_without_moving_what_is_below(
    configuration: Configuration, shape: Shape, tmp_path: Path, whisper_folder: Path
) -> None:
    config = json.loads((tmp_path / "shape" / "config.json").read_text())
    (tmp_path / "shape" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    imitating = replace(configuration, imitation=ImitationOptions(str(whisper_folder), weight=0.0, head_alone=True))
    imitating = replace(imitating, optimizer=replace(configuration.optimizer, weight_decay=0.0))
    (tmp_path / "run").mkdir()
    shared = prepare_run(imitating)
    before = {name: value.clone() for name, value in shared.model.state_dict().items()}
    train_step(shared, make_optimizers(shared, 0), batch_maker(imitating, shared.start).batch(0), 0)
    moved = {name for name, value in shared.model.state_dict().items() if not torch.equal(value, before[name])}
    assert "encoder.layers.2.attention.v_proj.weight" in moved
    assert not any(name.startswith(("encoder.layers.0.", "encoder.layers.1.", "feature_")) for name in moved)


def test_a_share_of_the_batches_imitates(configuration: Configuration, tmp_path: Path, whisper_folder: Path) -> None:
    some = replace(configuration, imitation=ImitationOptions(str(whisper_folder), share=0.5))
    (tmp_path / "run").mkdir()
    shared = prepare_run(some)
    maker, optimizers = batch_maker(some, shared.start), make_optimizers(shared, 0)
    lines = [train_step(shared, optimizers, maker.batch(step), step) for step in range(12)]
    assert {"unexplained" in line for line in lines} == {True, False}
