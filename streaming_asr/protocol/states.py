"""Which message may come when: one transition table, walked by both ends."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

Side: TypeAlias = Literal["client", "server"]


class State(Enum):
    """Where a connection stands; `docs/protocol.md` has the same table for people."""

    OPENED = auto()
    STARTING = auto()
    STREAMING = auto()
    ENDING = auto()
    FINISHING = auto()
    FINISHED = auto()
    FAILED = auto()


_CLIENT_KINDS: Final = ("start", "audio", "update", "finalize", "finish", "keepalive")
_EVENT_KINDS: Final = (
    *("speech_started", "partial", "turn_ending", "turn_resumed", "final", "speech_ended", "acknowledged", "warning"),
)


def _stay(state: State, *kinds: str) -> dict[str, State]:
    return dict.fromkeys(kinds, state)


_SPEAKING: Final = ("audio", "update", "finalize", "keepalive")

TRANSITIONS: Final[Mapping[Side, Mapping[State, Mapping[str, State]]]] = MappingProxyType(
    {
        "client": {
            State.OPENED: {"start": State.STARTING},
            State.STARTING: {**_stay(State.STARTING, *_SPEAKING), "finish": State.ENDING},
            State.STREAMING: {**_stay(State.STREAMING, *_SPEAKING), "finish": State.FINISHING},
            State.ENDING: _stay(State.ENDING, "keepalive"),
            State.FINISHING: _stay(State.FINISHING, "keepalive"),
            State.FINISHED: _stay(State.FINISHED, "keepalive"),
            State.FAILED: _stay(State.FAILED, *_CLIENT_KINDS),
        },
        "server": {
            State.OPENED: {"error": State.FAILED},
            State.STARTING: {"started": State.STREAMING, "warning": State.STARTING, "error": State.FAILED},
            State.STREAMING: {**_stay(State.STREAMING, *_EVENT_KINDS), "error": State.FAILED},
            State.ENDING: {"started": State.FINISHING, "warning": State.ENDING, "error": State.FAILED},
            State.FINISHING: {
                **_stay(State.FINISHING, *_EVENT_KINDS),
                "finished": State.FINISHED,
                "error": State.FAILED,
            },
            State.FINISHED: {},
            State.FAILED: {},
        },
    }
)
"""By side and state: the kinds of message that this side may send then, and the state that follows."""


def transition(state: State, side: Side, kind: str) -> State | None:
    """The state after `side` has sent a message of `kind`, or None if it may not."""
    return TRANSITIONS[side][state].get(kind)
