"""Announces the Wyoming port on the local network, where Home Assistant looks for it (multicast DNS, RFC 6763)."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, Final

from streaming_asr.errors import MissingExtraError, OptionError

logger = logging.getLogger(__name__)

SERVICE_TYPE: Final = "_wyoming._tcp.local."

_MULTICAST: Final = ("224.0.0.251", 5353)


def check_zeroconf() -> None:
    """Raises MissingExtraError if the package is not installed."""
    _zeroconf()


@asynccontextmanager
async def announced(name: str, host: str, port: int, *, interfaces: Sequence[str] | None = None) -> AsyncIterator[None]:
    """Announce a port until the context ends.

    Args:
        name: what people see.
        host: where the port listens; for all interfaces, the address of the one that reaches the network is told.
        interfaces: addresses on which to announce; None for all.

    Raises:
        OptionError: the name is taken, or is too long for the network.
    """
    package = _zeroconf()
    address = reachable_address(host)
    try:
        info = package.asyncio.AsyncServiceInfo(
            SERVICE_TYPE, f"{name}.{SERVICE_TYPE}", addresses=[ip_address(address).packed], port=port
        )
        network = package.asyncio.AsyncZeroconf(**({} if interfaces is None else {"interfaces": list(interfaces)}))
        try:
            await network.async_register_service(info)
            logger.info("announced", extra={"name_told": name, "host": address, "port": port})
            yield
        finally:
            await network.async_close()
    except (package.NonUniqueNameException, package.BadTypeInNameException) as error:
        raise OptionError(f"wyoming_zeroconf is {name!r}; the network does not take it: {error!r}") from error


def reachable_address(host: str) -> str:
    """The address that others use: `host` itself, or for all interfaces that of the one towards the network."""
    if host not in ("", "0.0.0.0", "::"):
        return socket.gethostbyname(host) if not _is_address(host) else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_MULTICAST)
        return str(probe.getsockname()[0])


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _zeroconf() -> Any:
    try:
        import zeroconf
        import zeroconf.asyncio
    except ImportError as error:
        raise MissingExtraError("announcing the Wyoming port (wyoming_zeroconf)", "wyoming") from error
    return zeroconf
