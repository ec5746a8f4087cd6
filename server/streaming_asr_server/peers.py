"""What one part of a server says to the same part of its other workers, the peers; one process alone has none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Protocol


class Channel(Protocol):
    """One part of a worker that has the same part at every peer. Messages are JSON; nothing here may wait.

    From each peer, `told` is called in the order of its `tell`, beginning with what it `known`s when the two are
    connected; `gone` follows when that connection has ended, after which it may begin anew.
    """

    def told(self, origin: int, message: Any) -> None:
        """The peer of this index tells something."""

    def asked(self, question: Any) -> Any:
        """The answer to a peer; None for none."""

    def known(self) -> Iterable[Any]:
        """What a peer that has just been connected is told first: all that matters now."""

    def gone(self, origin: int) -> None:
        """The peer of this index does not run any more, or cannot be heard."""


class Peers(Protocol):
    """The other workers of this server, as one of them sees them."""

    @property
    def index(self) -> int:
        """The index of this worker."""

    def join(self, name: str, channel: Channel) -> None:
        """Take part in a channel; before `running`."""

    def tell(self, name: str, message: Any) -> None:
        """Tell all peers, without waiting.

        It has left this process when this returns, unless a peer is slow: so it arrives even if this process is killed.
        """

    async def ask(self, name: str, question: Any) -> list[Any]:
        """What the peers answer that can within two seconds."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Hear and be heard; when the context begins, what peers know is known here."""


class Alone:
    """A server of one process: there is nobody to talk to."""

    index: Final = 0

    def join(self, name: str, channel: Channel) -> None: ...

    def tell(self, name: str, message: Any) -> None: ...

    async def ask(self, name: str, question: Any) -> list[Any]:
        return []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield
