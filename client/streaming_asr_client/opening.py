"""Opens the websocket to a server, and says in one line why that failed: a refusal, a redirect, a proxy, a network."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI, ProxyError

from streaming_asr.protocol import SUBPROTOCOL
from streaming_asr_client.errors import ConnectionLostError, RefusedError

_WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}


async def open_connection(
    url: str, headers: Mapping[str, str], *, open_seconds: float, close_seconds: float
) -> ClientConnection:
    """A connection to a server's stream, through the proxy that the environment names, if it does.

    Raises:
        RefusedError: the server answered with a status of HTTP.
        ConnectionLostError: it was not reached.
    """
    try:
        return await open_websocket(
            url,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            additional_headers=headers,
            compression=None,
            open_timeout=open_seconds,
            ping_interval=None,
            close_timeout=close_seconds,
        )
    except InvalidStatus as error:
        raise refusal(error) from error
    except InvalidURI as error:
        raise ConnectionLostError(f"{url} redirects to {error.uri}; {_advice(error.uri)}") from error
    except (InvalidProxy, ProxyError, ImportError) as error:
        raise ConnectionLostError(_proxy_problem(url, error)) from error
    except (OSError, InvalidHandshake, TimeoutError, ValueError) as error:
        through = _proxy(url)
        way = f" through the proxy {shown(through)}" if through else ""
        raise ConnectionLostError(f"{url} cannot be reached{way}: {_reason(error)}") from error


def refusal(error: InvalidStatus) -> RefusedError:
    """What a status says, in the words of the server where it has any."""
    response = error.response
    try:
        said = json.loads(response.body or b"")["error"]
        code, message = str(said["code"]), str(said["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "refused", response.reason_phrase
    retry_after = response.headers.get("Retry-After", "")
    return RefusedError(response.status_code, code, message, float(retry_after) if retry_after.isdigit() else None)


def shown(address: str) -> str:
    """An address without the password that may stand in it."""
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _advice(target: str) -> str:
    parts = urlsplit(target)
    if parts.scheme in _WEBSOCKET_SCHEMES and parts.netloc:
        return f"use {_WEBSOCKET_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path} if that is the server"
    return "that is no address of a websocket"


def _proxy_problem(url: str, error: Exception) -> str:
    if isinstance(error, ImportError):
        remedy = "its package is missing: pip install python-socks[asyncio]"
    else:
        remedy = _reason(error)
    return f"{url} cannot be reached through the proxy {shown(_proxy(url) or '')}: {remedy}; NO_PROXY leaves it out"


def _reason(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, InvalidProxy | ProxyError) and error.__cause__ else None
    text = str(error) or type(error).__name__
    return shown_in(text) if cause is None else f"{shown_in(text)} ({cause})"


def shown_in(text: str) -> str:
    """A message without passwords: each word that looks like an address is shown without one."""
    return " ".join(shown(word) if "://" in word and "@" in word else word for word in text.split(" "))


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address, in the order that websockets looks for one."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = urllib.request.getproxies()
    wanted = ("wss", "socks", "https") if parts.scheme == "wss" else ("ws", "socks", "https", "http")
    return next((proxies[scheme] for scheme in wanted if scheme in proxies), None)
