"""Models that clients of another service name: this server's, or that service's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from streaming_asr.errors import OptionError
from streaming_asr_server.service import Service

ChooseModel: TypeAlias = Callable[[str | None, str | None], str | None]
"""The name of the server's model that is meant by a model and a language. Raises OptionError."""


def chosen_model(service: Service, own: tuple[str, ...], model: str | None, language: str | None) -> str:
    """The name of the model that is meant by a client that may name one of the other service's.

    Those begin with one of `own`; any of ours that fits the language takes their place. A server of one model has only
    that to choose, whatever it is called. Raises OptionError, with the list of what is there.
    """
    if model is not None:
        try:
            return service.models.find(model).name
        except OptionError:
            if len(service.models) > 1 and not model.lower().startswith(own):
                raise
    return service.models.choose(None, language).name
