"""The native wire protocol of `/v1/stream`, sans I/O, both ends; `docs/protocol.md` describes it.

`ClientEnd` and `ServerEnd` are the two ends of one connection and walk one transition table; `ClientStream` is what a
client remembers over all connections of a stream, so that none of them may be missed.
"""

from streaming_asr.protocol.ends import ClientEnd, ServerEnd
from streaming_asr.protocol.faults import (
    ERRORS,
    NORMAL_CLOSE,
    ErrorCode,
    ErrorKind,
    Fault,
    ProtocolError,
    close_is_resumable,
)
from streaming_asr.protocol.messages import (
    Acknowledged,
    AcknowledgedFinal,
    Audio,
    Caution,
    ClientMessage,
    EndpointRules,
    Failure,
    Finalize,
    Finish,
    Finished,
    Hotwords,
    KeepAlive,
    Limits,
    Resume,
    Resumed,
    ServerMessage,
    Stability,
    Start,
    Started,
    Update,
)
from streaming_asr.protocol.reading import decode_client, decode_server
from streaming_asr.protocol.resume import ClientStream, Clock, updated
from streaming_asr.protocol.states import TRANSITIONS, Side, State, transition
from streaming_asr.protocol.writing import encode, kind_of

PATH = "/v1/stream"
SUBPROTOCOL = "streaming-asr.v1"

__all__ = [
    "ERRORS",
    "NORMAL_CLOSE",
    "PATH",
    "SUBPROTOCOL",
    "TRANSITIONS",
    "Acknowledged",
    "AcknowledgedFinal",
    "Audio",
    "Caution",
    "ClientEnd",
    "ClientMessage",
    "ClientStream",
    "Clock",
    "EndpointRules",
    "ErrorCode",
    "ErrorKind",
    "Failure",
    "Fault",
    "Finalize",
    "Finish",
    "Finished",
    "Hotwords",
    "KeepAlive",
    "Limits",
    "ProtocolError",
    "Resume",
    "Resumed",
    "ServerEnd",
    "ServerMessage",
    "Side",
    "Stability",
    "Start",
    "Started",
    "State",
    "Update",
    "close_is_resumable",
    "decode_client",
    "decode_server",
    "encode",
    "kind_of",
    "transition",
    "updated",
]
