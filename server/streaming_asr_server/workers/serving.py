"""`streaming-asr serve --workers N`: from the options to supervised workers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from streaming_asr.errors import OptionError
from streaming_asr_server.access.authentication import ApiKeys
from streaming_asr_server.access.ledger.opening import process_name, usual_file
from streaming_asr_server.ports import check_tls, listen
from streaming_asr_server.settings import Settings
from streaming_asr_server.workers.plan import Listeners, Plan
from streaming_asr_server.workers.supervisor import Supervisor, check_ledger, shared_folder

_BACKLOG: Final = 2048


def serve_with_workers(
    settings: Settings,
    load: Callable[[Settings], Any],
    announce: Callable[[], None],
    *,
    shared_weights: bool = False,
) -> None:
    """Serve with `settings.workers` processes until a signal comes. `load` must be a function of a module.

    With `shared_weights` it is called once, in a process from which the workers are forked; not for a model on a GPU,
    which a forked process cannot use.

    Raises:
        MissingExtraError: the ledger needs a package that is not installed.
        OptionError: an address, the files of TLS, the keys or the ledger cannot be used, or the workers die at once.
    """
    check_tls(settings.tls_cert, settings.tls_key)
    if settings.api_key_file:
        ApiKeys.read(settings.api_key_file)
    ledger = settings.ledger or str(usual_file(settings.host, settings.port))
    check_ledger(ledger)
    with _listening(settings) as listeners, shared_folder() as folder:
        plan = Plan(
            settings=settings,
            load=load,
            folder=folder,
            ledger=ledger,
            name=process_name(),
            shared_weights=shared_weights,
        )
        Supervisor(plan, listeners, announce).run()


@contextmanager
def _listening(settings: Settings) -> Iterator[Listeners]:
    """The sockets of all ports, which the workers inherit. Raises OptionError."""
    listeners: dict[int, list[socket.socket]] = {}
    try:
        for option in ("port", "vosk_port", "wyoming_port"):
            port = getattr(settings, option)
            if port in listeners:
                raise OptionError(f"{option} is {port}, as another port is; each must be its own")
            if port is not None:
                listeners[port] = listen(settings.host, port, option=f"--{option.replace('_', '-')}")
        for each in listeners.values():
            for listener in each:
                listener.listen(_BACKLOG)
        yield listeners
    finally:
        for each in listeners.values():
            for listener in each:
                listener.close()
