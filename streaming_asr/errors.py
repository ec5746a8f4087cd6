"""What can go wrong, one class per kind; each message says what was wrong, the value, and what would be right."""

from __future__ import annotations


class StreamingAsrError(Exception):
    """The root of all errors that this project raises on purpose."""


class AudioError(StreamingAsrError, ValueError):
    """The audio is not what was declared: a container in raw audio, NaN, a file that no reader knows."""


class OverwrittenError(StreamingAsrError, LookupError):
    """A ring buffer was asked for samples that newer ones have replaced."""


class CheckpointError(StreamingAsrError):
    """A model folder or hub name cannot be used: a file is missing, truncated or of a family that is not supported."""


class OptionError(StreamingAsrError, ValueError):
    """An option has a value that cannot work."""


class DeviceError(StreamingAsrError):
    """A microphone is not there, or does not do what was asked."""


class StreamClosedError(StreamingAsrError):
    """A stream was used after `finish()`."""


class MissingExtraError(StreamingAsrError, ImportError):
    """A feature needs packages of an extra that is not installed; the message is the line that installs it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the extra '{extra}': pip install 'streaming-asr[{extra}]'")
        self.feature = feature
        self.extra = extra
