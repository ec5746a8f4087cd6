"""What a command recognizes with: the library in this process, or a server behind an entry point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from types import TracebackType
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.command_line.options import ModelOptions, RecognitionOptions
from streaming_asr.endpointing import EndpointOptions
from streaming_asr.errors import MissingExtraError, OptionError
from streaming_asr.recognition import SpeechStream

REMOTES: Final = "streaming_asr.remotes"
"""The group of the entry point that leads to servers; it is a `Connect`."""
SCHEMES: Final = ("ws", "wss")
LIKE: Final = "ws://localhost:8765"


class SpeechRecognizer(Protocol):
    """What opens streams."""

    @property
    def stream(self) -> Callable[..., SpeechStream]:
        """Open a stream, with keyword arguments as `Recognizer.stream` has them."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Connect(Protocol):
    """The object behind an entry point of the group `REMOTES`: it gives a recognizer that lives at `url`.

    Its `stream` takes `sample_rate`, `channels`, `language`, `hotwords`, `endpoint` and `alternatives` as the library's
    own does; arrays are pushed, and `push` returns what has come until then and does not wait.
    """

    def __call__(self, url: str, *, api_key: str | None) -> SpeechRecognizer: ...


@dataclass(frozen=True, slots=True)
class ConfiguredRecognizer:
    """A recognizer, and the keyword arguments that its streams get. A context manager."""

    recognizer: SpeechRecognizer
    arguments: Mapping[str, Any]

    def stream(self, *, sample_rate: int, channels: int) -> SpeechStream:
        """Open a stream for arrays of that rate and so many channels."""
        return self.recognizer.stream(sample_rate=sample_rate, channels=channels, **self.arguments)

    def with_hotword(self, word: str, weight: float) -> Self:
        """The same recognizer; its streams listen for one more word."""
        hotwords = {**self.arguments.get("hotwords", {}), word: weight}
        return replace(self, arguments={**self.arguments, "hotwords": hotwords})

    def __enter__(self) -> Self:
        self.recognizer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.recognizer.__exit__(kind, error, trace)


def open_recognizer(options: ModelOptions, recognition: RecognitionOptions) -> ConfiguredRecognizer:
    """Load the recognizer, or connect to the server, that the options name; bad options are refused before.

    Raises:
        MissingExtraError: the packages for it are not installed.
        OptionError: options for loading a model were given together with a server.
        CheckpointError: there is no such model, or it cannot be used.
    """
    if options.server is not None:
        arguments = remote_arguments(recognition, language=options.language)
        return ConfiguredRecognizer(_connect(options.server, options), arguments)
    try:
        import torch

        from streaming_asr.checkpoints.threads import usual_threads
        from streaming_asr.recognizer import Recognizer
    except ModuleNotFoundError as error:
        raise MissingExtraError("recognizing speech in this process", "recognizer") from error
    arguments = local_arguments(recognition)
    threads = usual_threads([options.model])
    if threads is not None:
        torch.set_num_threads(threads)
    return ConfiguredRecognizer(Recognizer.load(options.model, **options.load_arguments()), arguments)


def unspellable(configured: ConfiguredRecognizer, recognition: RecognitionOptions) -> dict[str, str]:
    """The hotwords that the model cannot write, each with the letters it lacks; a server tells its own."""
    if not recognition.hotword:
        return {}
    from streaming_asr.recognizer import Recognizer

    if not isinstance(configured.recognizer, Recognizer):
        return {}
    stream = configured.recognizer.stream(sample_rate=SAMPLE_RATE, **configured.arguments)
    return dict(stream.hotwords.unspellable)


def local_arguments(options: RecognitionOptions) -> dict[str, Any]:
    """The keyword arguments of `Recognizer.stream` that were given."""
    from streaming_asr.audio.gate import GateOptions, detector_for
    from streaming_asr.latency import Latency

    gate = GateOptions(**options.gate_arguments())
    if gate.enabled:
        detector_for(gate)  # what is not installed is told before a model is loaded
    return options.stream_arguments() | {
        "latency": Latency(**options.latency_arguments()),
        "endpoint": EndpointOptions(**options.endpoint_arguments()),
        "gate": gate,
    }


def remote_arguments(options: RecognitionOptions, *, language: str | None) -> dict[str, Any]:
    """The keyword arguments for a stream on a server; how it computes is the server's own affair.

    Raises:
        OptionError: an option was given that only the server may choose.
    """
    own = {
        "--beam-width": options.beam_width,
        "--chunk": options.chunk,
        "--lookahead": options.lookahead,
        "--left-context": options.left_context,
        "--gate-…": options.gate_arguments() or None,
    }
    for name, value in own.items():
        if value is not None:
            raise OptionError(f"{name} is the server's to choose; leave it out together with --server")
    arguments = options.stream_arguments()
    if language is not None:
        arguments["language"] = language
    if rules := options.endpoint_arguments():
        arguments["endpoint"] = EndpointOptions(**rules)
    return arguments


def _connect(url: str, options: ModelOptions) -> SpeechRecognizer:
    if options.model is not None:
        raise OptionError(f"--model {options.model} and --server {url} exclude each other: the server has its model")
    if urlsplit(url).scheme not in SCHEMES:
        raise OptionError(
            f"--server {url} is no address of a server; it begins with {' or '.join(SCHEMES)}, like {LIKE}"
        )
    for entry in entry_points(group=REMOTES):
        try:
            connect: Connect = entry.load()
        except ModuleNotFoundError as error:
            raise MissingExtraError("--server", "all") from error
        return connect(url, api_key=options.api_key)
    raise MissingExtraError("--server", "all")
