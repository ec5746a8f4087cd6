"""Loads the recognizer that the settings ask for."""

from __future__ import annotations

from typing import Final

from streaming_asr_server.recognition.interface import Recognition
from streaming_asr_server.sessions.decoding import load_codecs
from streaming_asr_server.settings import Settings

_EMBEDDED_NAME: Final = "english"


def load_recognition(settings: Settings) -> Recognition:
    """The real recognizer, as the settings want it; torch is imported only here."""
    import torch

    from streaming_asr.audio.gate import GateOptions, detector_for
    from streaming_asr.recognizer import Recognizer
    from streaming_asr_server.recognition.model import ModelRecognition

    load_codecs()
    gate = GateOptions(detector=settings.detector)
    detector_for(gate)  # what is not installed is told before a model is loaded
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    recognizer = Recognizer.load(
        settings.model,
        language=settings.language,
        languages=settings.languages or None,
        maximum_languages=max(1, len(settings.languages)),
        revision=settings.revision,
        device=settings.device,
        precision=settings.precision,
        language_model=settings.language_model,
    )
    name = settings.model or _EMBEDDED_NAME
    options = {"beam_width": settings.beam_width, "gate": gate}
    return ModelRecognition(recognizer, name=name, options=options)
