"""The models that the settings of a server ask for, and how each is loaded; torch is imported only when one is."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Hashable, Sequence
from functools import partial

from streaming_asr.checkpoints.tags import language_tag
from streaming_asr.errors import CheckpointError
from streaming_asr.sharing import SharedProcessor
from streaming_asr_server.model_settings import ModelSettings
from streaming_asr_server.models.source import ModelSource
from streaming_asr_server.recognition.interface import Recognition
from streaming_asr_server.sessions.decoding import load_codecs
from streaming_asr_server.settings import Settings

logger = logging.getLogger(__name__)


def model_sources(settings: Settings, cores: int | None = None) -> list[ModelSource]:
    """Where the models of a server with so many cores come from; those on one device step in turn."""
    models = settings.served()
    processors = {model.device: SharedProcessor() for model in models} if len(models) > 1 else {}

    def load(model: ModelSettings) -> Recognition:
        return load_model(model, threads=threads_of(settings, cores), processor=processors.get(model.device))

    return [_source(model, partial(load, model)) for model in models]


def threads_of(settings: Settings, cores: int | None = None) -> int | None:
    """How many threads the models of a process get, of so many cores; None: as many as torch takes by itself."""
    if settings.threads is not None:
        return settings.threads
    from streaming_asr.checkpoints.threads import usual_threads

    if cores is None and settings.workers > 1:
        cores = max(1, (os.cpu_count() or 1) // settings.workers)
    return usual_threads(model.model for model in settings.served()) or cores


def _source(model: ModelSettings, load: Callable[[], Recognition]) -> ModelSource:
    return ModelSource(
        load=load,
        name=model.name,
        languages=_tags(() if model.load == "start" else _expected_languages(model)),
        at_start=model.load == "start",
        unload_seconds=model.unload_seconds,
        max_streams=model.max_streams,
        fingerprint=partial(fingerprint, model),
    )


def load_model(
    model: ModelSettings, *, threads: int | None = None, processor: SharedProcessor | None = None
) -> Recognition:
    """Load a model with its languages. One that cannot be loaded is logged, and refused when it is asked for.

    Raises CheckpointError, MissingExtraError, OptionError.
    """
    import torch

    from streaming_asr.audio.gate import GateOptions, detector_for
    from streaming_asr.latency import Latency
    from streaming_asr.recognizer import Recognizer
    from streaming_asr_server.recognition.model import ModelRecognition

    load_codecs()
    gate = GateOptions(detector=model.detector)
    detector_for(gate)  # what is not installed is told before a model is loaded
    if threads is not None:
        torch.set_num_threads(threads)
    recognizer = Recognizer.load(
        model.model,
        language=model.language,
        languages="all" if model.all_languages else model.languages or None,
        maximum_languages=max(model.maximum_languages, 0 if model.all_languages else len(model.languages)),
        load_languages="when_asked",
        revision=model.revision,
        device=model.device,
        precision=model.precision,
        language_model=model.language_model,
        processor=processor,
    )
    for code in () if model.all_languages else recognizer.languages.codes:
        try:
            recognizer.languages.get(code)
        except CheckpointError as error:
            # A broken adapter is no harm to the other languages.
            logger.error("a language cannot be loaded", extra={"model": model.name, "reason": str(error)})
    latency = Latency(chunk_ms=model.chunk_ms, lookahead_ms=model.lookahead_ms, left_ms=model.left_ms)
    options = {"beam_width": model.beam_width, "gate": gate, "latency": latency}
    return ModelRecognition(recognizer, name=model.name, options=options, hotwords=model.hotwords)


def load_recognition(settings: Settings) -> Recognition:
    """The model of a server that has one; a function of a module, for processes that are to find it by its name."""
    return load_model(settings.served()[0], threads=threads_of(settings))


def fingerprint(model: ModelSettings) -> Hashable:
    """What changes when the files of a model do: their names, sizes and times."""
    from streaming_asr.checkpoints.description import describe_local

    description = describe_local(model.model)
    if description is None:
        return None
    files = (path for path in sorted(description.folder.rglob("*")) if path.is_file())
    return tuple((str(path), (status := path.stat()).st_size, status.st_mtime_ns) for path in files)


def _expected_languages(model: ModelSettings) -> Sequence[str]:
    """What is told of a model that is not loaded: what was declared, else what its small files say."""
    if model.languages and not model.all_languages:
        return model.languages
    if model.language is not None and not model.all_languages:
        return (model.language,)
    from streaming_asr.checkpoints.description import describe_local

    description = describe_local(model.model)
    return () if description is None else description.languages


def _tags(codes: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(language_tag(code) or code for code in codes))
