"""The two ends of one connection, without sockets: check the order, cut and join, encode and decode."""

from __future__ import annotations

from typing import Final

from streaming_asr.protocol.faults import ProtocolError
from streaming_asr.protocol.messages import Audio, ClientMessage, Failure, ServerMessage, Start
from streaming_asr.protocol.reading import decode_client, decode_server
from streaming_asr.protocol.states import Side, State, transition
from streaming_asr.protocol.writing import encode, kind_of

MAXIMUM_TEXT_CHARACTERS: Final = 1 << 18
MAXIMUM_AUDIO_BYTES: Final = 1 << 20


class ClientEnd:
    """The client's end of one connection."""

    def __init__(self) -> None:
        self.state = State.OPENED

    def send(self, message: ClientMessage) -> str | bytes:
        """What to put into the websocket.

        Raises:
            ProtocolError: the message may not be sent now; the fault is the caller's.
        """
        self.state = _next(self.state, "client", kind_of(message))
        return encode(message)

    def receive(self, data: str | bytes) -> ServerMessage:
        """What the server said.

        Raises:
            ProtocolError: no message of the protocol, or out of order; the connection is of no more use.
        """
        message = decode_server(data)
        self.state = _next(self.state, "server", kind_of(message))
        return message


class ServerEnd:
    """The server's end of one connection.

    Audio messages may be cut within a sample: `receive` holds the unfinished bytes back and gives whole frames only,
    so that a position in samples says exactly what was taken when the connection drops.
    """

    def __init__(self, *, maximum_audio_bytes: int = MAXIMUM_AUDIO_BYTES) -> None:
        self.state = State.OPENED
        self._maximum_audio_bytes = maximum_audio_bytes
        self._frame_bytes = 1
        self._unfinished = b""

    def receive(self, data: str | bytes) -> ClientMessage | None:
        """What the client said; None after a failure, when it cannot know yet that nobody listens.

        Raises:
            ProtocolError: a client's fault; answer with `fail` and close.
        """
        if self.state is State.FAILED:
            return None
        if len(data) > (MAXIMUM_TEXT_CHARACTERS if isinstance(data, str) else self._maximum_audio_bytes):
            raise ProtocolError("too_big", f"a message of {len(data)} is over the limit of {self._maximum_audio_bytes}")
        message = decode_client(data)
        self.state = _next(self.state, "client", kind_of(message))
        match message:
            case Start():
                self._frame_bytes = message.frame_bytes
            case Audio(data=piece) if self._unfinished or len(piece) % self._frame_bytes:
                return Audio(self._whole_frames(piece))
        return message

    def send(self, message: ServerMessage) -> str:
        """What to put into the websocket.

        Raises:
            ProtocolError: the message may not be sent now; the fault is the caller's.
        """
        self.state = _next(self.state, "server", kind_of(message))
        return str(encode(message))

    def fail(self, error: ProtocolError) -> str | None:
        """The `error` message for this error, or None if the stream is over already."""
        if self.state in (State.FAILED, State.FINISHED):
            return None
        kind = error.kind
        return self.send(Failure(error.code, kind.fault, str(error), kind.resumable))

    def _whole_frames(self, piece: bytes) -> bytes:
        data = self._unfinished + piece
        whole = len(data) - len(data) % self._frame_bytes
        self._unfinished = data[whole:]
        return data[:whole]


def _next(state: State, side: Side, kind: str) -> State:
    following = transition(state, side, kind)
    if following is None:
        raise ProtocolError("out_of_order", f"the {side} may not send {kind!r} in the state {state.name}")
    return following
