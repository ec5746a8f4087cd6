"""The caption page and the JavaScript package: static files, the page under a policy that lets it load only itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
            "connect-src 'self'; worker-src 'self'; manifest-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }
)


PACKAGE_HEADERS: Final[Mapping[str, str]] = MappingProxyType({**HEADERS, "Access-Control-Allow-Origin": "*"})
"""Pages of other origins may load the package: it is no secret, and what it may do is asked when it connects."""


def web_folder() -> Path:
    """Where the page's files are: inside the installed package, or beside the sources of a checkout."""
    return _folder("web", "client/web")


def package_folder() -> Path:
    """Where the modules of the JavaScript package are."""
    return _folder("javascript", "client/javascript/src")


def _folder(installed: str, source: str) -> Path:
    folder = Path(__file__).parent / installed
    return folder if folder.is_dir() else Path(__file__).parents[2] / source


class StaticPage(StaticFiles):
    """The files of a folder under these headers; a server without the folder answers 404."""

    def __init__(self, folder: Path, headers: Mapping[str, str] = HEADERS) -> None:
        super().__init__(directory=folder, html=True, check_dir=False)
        self._headers = headers

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(self._headers)
        return response


def pages(web: Path | None = None) -> list[Mount]:
    """Where everything is served; `web` is the folder of the page, by default the one that is installed."""
    return [
        Mount("/javascript", StaticPage(package_folder(), PACKAGE_HEADERS)),
        Mount("/", StaticPage(web or web_folder())),
    ]
