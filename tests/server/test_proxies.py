"""The files for nginx and Caddy in `deploy/`, with the real programs where they are installed."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words

from tests.server.speaking import events_of, finals, raw

pytestmark = pytest.mark.anyio

DEPLOY = Path(__file__).parents[2] / "deploy"
Command = Callable[[Path, int, int], list[str]]


def nginx(folder: Path, port: int, server: int) -> list[str]:
    """nginx with the site, without its certificate."""
    site = "".join(
        line for line in (DEPLOY / "nginx.conf").read_text().splitlines(keepends=True) if "ssl_certificate" not in line
    )
    site = site.replace("listen 443 ssl", f"listen 127.0.0.1:{port}").replace("127.0.0.1:8765", f"127.0.0.1:{server}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{site}}}\n"
    )
    return ["nginx", "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def nginx_host(folder: Path, port: int, server: int) -> list[str]:
    """The same with `Host $host`, as many write it: the port is lost."""
    command = nginx(folder, port, server)
    file = folder / "nginx.conf"
    file.write_text(file.read_text().replace("Host $http_host", "Host $host"))
    return command


def caddy(folder: Path, port: int, server: int) -> list[str]:
    """Caddy with the site, without a certificate and without its port for administration."""
    site = (DEPLOY / "Caddyfile").read_text()
    site = site.replace("captions.example {", f"http://127.0.0.1:{port} {{").replace(
        "127.0.0.1:8765", f"127.0.0.1:{server}"
    )
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{site}")
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@asynccontextmanager
async def proxied(command: Command, folder: Path, server: int) -> AsyncIterator[str]:
    """A proxy before the server on this port; gives host and port of the proxy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    program, *arguments = command(folder, port, server)
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env={"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/bin"},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=8)) as http:
            await http.get(f"http://127.0.0.1:{port}/healthz")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("command", [nginx, nginx_host, caddy])
async def test_the_sites_for_proxies_pass_on_streams_pages_and_uploads(command: Command, tmp_path: Path) -> None:
    audio = tone_words([0, 17, 18, 0, 0, 0, 19])
    async with local_server(ScriptedRecognition) as server, proxied(command, tmp_path, server.port) as proxy:
        direct = finals(await events_of(server.url, audio))
        assert finals(await events_of(f"ws://{proxy}", audio)) == direct
        async with raw(f"ws://{proxy}", origin=f"http://{proxy}") as page:
            await page.send({"type": "start"})
            assert (await page.receive())["type"] == "started", "the page of the server itself may connect"
        async with httpx.AsyncClient(base_url=f"http://{proxy}", timeout=30) as http:
            assert (await http.get("/")).status_code == 200
            assert (await http.get("/metrics")).status_code == 403
            wav = b"RIFF" + bytes(3 << 20)
            answer = await http.post("/v1/audio/transcriptions", files={"file": ("noise.wav", wav)})
            assert answer.status_code != 413, "an upload of three megabytes is no matter for the proxy"


def nginx_below(folder: Path, port: int, server: int) -> list[str]:
    """The same below a path, which nginx takes off."""
    command = nginx(folder, port, server)
    file = folder / "nginx.conf"
    site = file.read_text().replace("location / {", "location /asr/ {")
    file.write_text(site.replace(f"proxy_pass http://127.0.0.1:{server};", f"proxy_pass http://127.0.0.1:{server}/;"))
    return command


def caddy_below(folder: Path, port: int, server: int) -> list[str]:
    """The same below a path, which Caddy takes off."""
    command = caddy(folder, port, server)
    file = folder / "Caddyfile"
    below = f"handle_path /asr/* {{\n\t\treverse_proxy 127.0.0.1:{server}\n\t}}"
    file.write_text(file.read_text().replace(f"reverse_proxy 127.0.0.1:{server}", below))
    return command


@pytest.mark.parametrize("command", [nginx_below, caddy_below])
async def test_a_server_may_stand_below_a_path(command: Command, tmp_path: Path) -> None:
    audio = tone_words([0, 17, 18])
    async with local_server(ScriptedRecognition) as server, proxied(command, tmp_path, server.port) as proxy:
        direct = finals(await events_of(server.url, audio))
        assert finals(await events_of(f"ws://{proxy}/asr/v1/stream", audio)) == direct
        async with httpx.AsyncClient(base_url=f"http://{proxy}/asr", timeout=30) as http:
            page = (await http.get("/")).text
            assert 'src="/' not in page, "all that the page loads is named relative to it"
            assert 'href="/' not in page, "all that the page loads is named relative to it"
            assert (await http.get("/v1/models")).status_code == 200
