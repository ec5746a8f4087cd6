"""Trains a model as a configuration file says: `python -m training.train training/configs/NAME.toml`.

Stop it whenever you like; the same command goes on from the last checkpoint. With one worker a run is a function of
its seed; several workers share the weights without locks (Hogwild, Recht et al. 2011), which is what makes a few CPU
cores usable, and no two such runs are alike.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")

import numpy as np
import torch
import torch.multiprocessing as processes
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor

from streaming_asr.audio.samples import Samples
from streaming_asr.model import Context
from training.augment import Surroundings, normalized
from training.batches import Batch, BatchMaker, Source
from training.checkpoints import Start, read_config, read_start, write_model
from training.configuration import Configuration
from training.corpus import Corpus
from training.imitation import Imitation
from training.initialization import initialize
from training.model import Shape, StreamingCtc
from training.objective import Targets, choose_context, divergence, imitation_of, loss_of
from training.phones import Phones
from training.posteriors import Posteriors
from training.schedule import Schedule
from training.transcripts import ENGLISH

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"


@dataclass(frozen=True)
class Shared:
    """What the workers of one run have in common; the model's weights and the counters are in shared memory."""

    configuration: Configuration
    start: Start
    phones: Phones | None
    average: dict[str, Tensor]
    schedule: Schedule
    step: Any
    seconds: Any
    imitation: Imitation | None = None

    @property
    def model(self) -> StreamingCtc:
        """The network."""
        return self.start.model

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        return Path(self.configuration.run.folder)


def train(configuration: Configuration, *, progress: bool = True) -> Path:
    """Runs or goes on with a run until its schedule ends or it is interrupted; gives the averaged model's folder."""
    shared = prepare_run(configuration)
    run = configuration.run
    maker = batch_maker(configuration, shared.start, shared.phones)
    context = processes.get_context("fork")
    queues = [context.Queue(6) for _ in range(1 if run.workers > 1 else run.loaders)]
    loaders = [context.Process(target=_load, args=(maker, shared, queues, n), daemon=True) for n in range(run.loaders)]
    others = [context.Process(target=work, args=(shared, queues, n)) for n in range(1, run.workers)]
    for process in (*loaders, *others):
        process.start()
    try:
        work(shared, queues, 0, progress=progress)
        for process in others:
            process.join()
    finally:
        for process in (*loaders, *others):
            process.kill()
            process.join()
    return export(shared, "final" if shared.schedule.progress(shared.step.value) >= 1 else "interrupted")


def prepare_run(configuration: Configuration) -> Shared:
    """The model at its start or at the last checkpoint, in shared memory."""
    torch.set_num_threads(configuration.run.threads)
    torch.manual_seed(configuration.run.seed)
    start = start_model(configuration)
    model = start.model
    phones = Phones.read(Path(configuration.phones)) if configuration.phones else None
    if phones is not None:
        model.learn_phones(len(phones.names))
    folder = Path(configuration.run.folder)
    folder.mkdir(parents=True, exist_ok=True)
    average = {name: value.detach().clone() for name, value in model.state_dict().items()}
    started, step, seconds = time.time(), 0, 0.0
    if (folder / CHECKPOINT).exists():
        saved = torch.load(folder / CHECKPOINT, weights_only=True)
        model.load_state_dict(saved["model"])
        average, started, step, seconds = saved["average"], saved["started"], saved["step"], saved["seconds"]
    model.to(configuration.run.device).share_memory()
    return Shared(
        configuration,
        start,
        phones,
        {name: value.to(configuration.run.device) for name, value in average.items()},
        Schedule.plan(configuration.run, started),
        processes.Value("q", step),
        processes.Value("d", seconds),
        imitation_for(configuration, model.shape),
    )


def imitation_for(configuration: Configuration, shape: Shape) -> Imitation | None:
    """The teacher of a run whose states are imitated, if it has one."""
    options = configuration.imitation
    if not options.folder:
        return None
    corpus = Corpus.open(Path(configuration.sources[0].folder))
    return Imitation.prepare(Path(options.folder), shape, corpus, Path(configuration.run.folder))


def start_model(configuration: Configuration) -> Start:
    """The network with its first weights."""
    options = configuration.model
    if options.start:
        start = read_start(options.start, options.layers or None)
    else:
        config = read_config(Path(options.shape))
        model = StreamingCtc(Shape.parse(config))
        initialize(model, mel=options.mel, blank_bias=options.blank_bias, speech=some_speech(configuration))
        start = Start(model, config, ENGLISH, Path(options.shape))
    for name, parameter in start.model.named_parameters():
        parameter.requires_grad_(not name.startswith(options.frozen))
    return start


def some_speech(configuration: Configuration, utterances: int = 50) -> Samples:
    """Some normalized recordings in a row, shape (samples,), evenly spread over the first corpus."""
    corpus = Corpus.open(Path(configuration.sources[0].folder)).part(configuration.sources[0].part)
    chosen = corpus.utterances[:: max(len(corpus.utterances) // utterances, 1)]
    return np.concatenate([normalized(corpus.samples(one)) for one in chosen])


def batch_maker(configuration: Configuration, start: Start, phones: Phones | None = None) -> BatchMaker:
    """The batches of a run."""
    sources = [
        Source(Corpus.open(Path(one.folder)).part(one.part).collections(one.only, one.without), one.share)
        for one in configuration.sources
    ]
    noises, rooms = (_recordings(folder) for folder in (configuration.noise, configuration.rooms))
    around = Surroundings(noises, rooms)
    return BatchMaker(
        sources,
        start.model.shape,
        configuration.batches,
        configuration.augmentation,
        around,
        configuration.run.seed,
        start.spelling,
        phones,
        with_clean=bool(configuration.imitation.folder),
        posteriors=Posteriors.open(Path(configuration.teaching.folder)) if configuration.teaching.folder else None,
    )


def _recordings(folder: str) -> list[Any]:
    corpus = Corpus.open(Path(folder)).part("train") if folder else None
    return [corpus.samples(one) for one in corpus.utterances] if corpus else []


def _load(maker: BatchMaker, shared: Shared, queues: list[Any], number: int) -> None:
    """One process that makes every `loaders`-th batch, in order, until it is killed; interrupts are for workers."""
    for number_of_signal in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number_of_signal, signal.SIG_IGN)
    torch.set_num_threads(1)
    loaders = shared.configuration.run.loaders
    step = shared.step.value
    step += (number - step) % loaders
    while True:
        queues[step % len(queues)].put(maker.batch(step))
        step += loaders


def work(shared: Shared, queues: list[Any], number: int, *, progress: bool = False) -> None:
    """One worker: takes batches and moves the shared weights until the schedule ends or it is interrupted."""
    run = shared.configuration.run
    torch.set_num_threads(run.threads)
    optimizers = make_optimizers(shared, number)
    saved_at = time.monotonic()
    with _bar(progress) as bar:
        task = bar.add_task("training", total=1.0)
        for step, batch in _batches(shared, queues, _interrupts()):
            line = train_step(shared, optimizers, batch, step)
            _log(shared, line | {"worker": number})
            bar.update(task, completed=shared.schedule.progress(step), description=f"loss {line['loss']:.3f}")
            if number == 0 and step // run.workers % shared.configuration.optimizer.average_every == 0:
                update_average(shared)
            if time.monotonic() - saved_at > 60 * run.checkpoint_minutes:
                save(shared, optimizers, number)
                saved_at = time.monotonic()
    save(shared, optimizers, number)


def _bar(shown: bool) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    return Progress(*columns, disable=not shown)


def _interrupts() -> list[int]:
    """A list that is empty until this process is told to stop."""
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda which, _frame: received.append(which))
    return received


def _batches(shared: Shared, queues: list[Any], interrupts: list[int]) -> Iterator[tuple[int, Batch]]:
    while not interrupts:
        with shared.step.get_lock():
            step = shared.step.value
            if shared.schedule.progress(step) >= 1:
                return
            shared.step.value = step + 1
        yield step, queues[step % len(queues)].get()


def make_optimizers(shared: Shared, number: int) -> list[torch.optim.Optimizer]:
    """The optimizers of one worker, with their moments from the last checkpoint if there are any.

    With Muon (Jordan et al. 2024), AdamW moves what is no matrix of the network's inside: convolutions, gains, biases
    and heads. Steps of both are equally large at the same rate (Liu et al. 2025), so one schedule serves them.
    """
    options = shared.configuration.optimizer
    matrices, rest = list[Tensor](), dict[float, list[Tensor]]()
    for name, weight in shared.model.named_parameters():
        if weight.requires_grad and options.muon and is_matrix(name, weight):
            matrices.append(weight)
        elif weight.requires_grad:
            rest.setdefault(next((factor for part, factor in options.rates if part in name), 1.0), []).append(weight)
    decay = options.weight_decay
    groups = [{"params": weights, "factor": factor} for factor, weights in rest.items()]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, options.peak, options.betas, weight_decay=decay, fused=True)
    ]
    if matrices:
        muon = torch.optim.Muon(matrices, options.peak, decay, options.momentum, adjust_lr_fn="match_rms_adamw")
        optimizers.append(muon)
    saved = shared.folder / f"optimizer-{number}.pt"
    if saved.exists():
        for optimizer, state in zip(optimizers, torch.load(saved, weights_only=True), strict=True):
            optimizer.load_state_dict(state)
    return optimizers


def is_matrix(name: str, weight: Tensor) -> bool:
    """Whether Muon moves a weight."""
    return weight.dim() == 2 and not name.startswith(("lm_head.", "phone_head."))


def train_step(shared: Shared, optimizers: list[torch.optim.Optimizer], batch: Batch, step: int) -> dict[str, Any]:
    """One batch forward and back; gives the line for the log."""
    configuration, device = shared.configuration, torch.device(shared.configuration.run.device)
    generator = np.random.default_rng((configuration.run.seed, 2, step))
    context = choose_context(configuration.streaming, generator)
    half = torch.autocast(device.type, torch.bfloat16) if configuration.run.bfloat16 else nullcontext()
    with half:
        loss, figures = _loss(shared, batch, device, context, generator)
    rate = shared.schedule.rate(step, configuration.optimizer.peak, configuration.optimizer.warmup)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
        optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(shared.model.parameters(), configuration.optimizer.clip)
    if bool(torch.isfinite(norm)):
        for optimizer in optimizers:
            optimizer.step()
    with shared.seconds.get_lock():
        shared.seconds.value += batch.seconds
    return {
        "step": step,
        "time": round(time.time(), 2),
        "hours": round(shared.seconds.value / 3600, 4),
        **{name: round(value, 4) for name, value in figures.items()},
        "rate": rate,
        "norm": round(float(norm), 3),
        "chunk": context.chunk if context else 0,
        "lookahead": context.lookahead if context else 0,
    }


def _loss(
    shared: Shared, batch: Batch, device: torch.device, context: Context | None, generator: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """What to follow, and what to log."""
    configuration = shared.configuration
    audio = torch.from_numpy(batch.audio).to(device).float()
    frames = torch.from_numpy(batch.frames).to(device)
    letters = Targets.of(batch.letters, device, shared.start.spelling.blank)
    teach = None
    if batch.taught is not None and (context is None or context.lookahead):
        said, taught = (torch.from_numpy(one).to(device) for one in (batch.taught.log_probs, batch.taught.frames))

        def teach(log_probs: Tensor) -> Tensor:
            return configuration.teaching.weight * divergence(log_probs, said.float(), taught)

    options = configuration.imitation
    if shared.imitation is not None and batch.clean is not None and generator.random() < options.share:
        loss, plain, unexplained = imitation_of(
            shared.model,
            shared.imitation,
            audio,
            torch.from_numpy(batch.clean).to(device).float(),
            frames,
            letters,
            context,
            configuration.objective,
            generator,
            weight=options.weight,
            head_alone=options.head_alone,
            teach=teach,
        )
        return loss, {"loss": plain, "unexplained": unexplained}
    loss, plain = loss_of(
        shared.model,
        audio,
        frames,
        letters,
        Targets.of(batch.phones, device) if batch.phones else None,
        context,
        configuration.streaming,
        configuration.objective,
        generator,
        teach,
    )
    return loss, {"loss": plain, "all": float(loss.detach())}


def update_average(shared: Shared) -> None:
    """Moves the running average of the weights a little towards them."""
    decay = shared.configuration.optimizer.average_decay
    with torch.no_grad():
        for name, value in shared.model.state_dict().items():
            shared.average[name].lerp_(value, 1 - decay)


def save(shared: Shared, optimizers: list[torch.optim.Optimizer], number: int) -> None:
    """Writes the checkpoint of one worker; the first one also writes the weights and a model folder."""
    _write(shared.folder / f"optimizer-{number}.pt", [optimizer.state_dict() for optimizer in optimizers])
    if number == 0:
        state = {
            "model": {name: value.cpu() for name, value in shared.model.state_dict().items()},
            "average": {name: value.cpu() for name, value in shared.average.items()},
            "step": shared.step.value,
            "seconds": shared.seconds.value,
            "started": shared.schedule.started,
        }
        _write(shared.folder / CHECKPOINT, state)
        export(shared, f"hours-{shared.seconds.value / 3600:07.2f}")


def export(shared: Shared, name: str) -> Path:
    """The averaged weights as a Hugging Face folder below the run's folder."""
    write_model(shared.folder / name, shared.average, shared.start.config, shared.start.folder)
    return shared.folder / name


def _write(path: Path, content: Any) -> None:
    torch.save(content, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def _log(shared: Shared, line: dict[str, Any]) -> None:
    if line["step"] % shared.configuration.run.log_every == 0:
        with (shared.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args()
    train(Configuration.read(options.configuration), progress=not options.quiet)


if __name__ == "__main__":
    main()
