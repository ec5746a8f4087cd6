"""The Wyoming port is announced where Home Assistant looks for it."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest
from streaming_asr_server.application import create_application
from streaming_asr_server.protocols.wyoming.announcing import SERVICE_TYPE, announced, reachable_address
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.service import Service
from streaming_asr_server.settings import Settings

from streaming_asr.errors import MissingExtraError, OptionError

pytestmark = pytest.mark.anyio

HERE = ("127.0.0.1",)


def multicast_reaches_here() -> bool:
    """Whether this machine lets a packet to the group of multicast DNS come back over its loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            probe.sendto(b"", ("224.0.0.251", 5353))
        except OSError:
            return False
    return True


async def test_an_announced_port_is_found_as_long_as_it_is_there() -> None:
    zeroconf = pytest.importorskip("zeroconf.asyncio", reason="needs the extra 'wyoming'")
    if not multicast_reaches_here():
        pytest.skip("this machine has no multicast")
    async with announced("kitchen", "127.0.0.1", 10_300, interfaces=HERE):
        network = zeroconf.AsyncZeroconf(interfaces=list(HERE))
        try:
            async with asyncio.timeout(20):
                info = await network.async_get_service_info(SERVICE_TYPE, f"kitchen.{SERVICE_TYPE}", timeout=15_000)
        finally:
            await network.async_close()
    assert info is not None
    assert (info.port, info.parsed_addresses()) == (10_300, ["127.0.0.1"])


async def test_a_name_that_is_too_long_is_refused() -> None:
    pytest.importorskip("zeroconf", reason="needs the extra 'wyoming'")
    with pytest.raises(OptionError, match="wyoming_zeroconf"):
        async with announced("x" * 100, "127.0.0.1", 10_300, interfaces=HERE):
            pass


async def test_without_the_package_the_line_that_installs_it_is_told_before_the_server_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    settings = Settings(wyoming_port=0, wyoming_zeroconf="kitchen")
    with pytest.raises(MissingExtraError, match=r"streaming-asr\[wyoming\]"):
        create_application(Service(settings, load=ScriptedRecognition))


async def test_an_announcement_needs_a_port() -> None:
    with pytest.raises(OptionError, match="wyoming_port"):
        Settings(wyoming_zeroconf="kitchen")


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("localhost", "127.0.0.1")])
async def test_the_address_told_is_the_one_that_listens(host: str, address: str) -> None:
    assert reachable_address(host) == address
