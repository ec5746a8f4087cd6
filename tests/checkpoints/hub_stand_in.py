"""A stand-in for the Hugging Face hub on loopback: just enough of its HTTP interface for `huggingface_hub`.

It answers `/api/models/NAME[/revision/REVISION]`, `/api/models/NAME/tree/REVISION` and HEAD and GET of
`/NAME/resolve/REVISION/FILE`, with the headers that the client reads, and its errors with their `X-Error-Code`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import pytest

_MODEL: Final = re.compile(r"/api/models/(?P<name>[^/]+/[^/]+)(?:/(?:revision|tree)/(?P<revision>[^/]+))?")
_FILE: Final = re.compile(r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


@dataclass(slots=True)
class Repository:
    """A model: the commits that its branches and tags point to, and each commit's files."""

    revisions: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    gated: bool = False

    def commit(self, revision: str | None) -> str | None:
        revision = revision or "main"
        return revision if revision in self.commits else self.revisions.get(revision)


class HubSettings:
    """Where the client looks and keeps: its settings, which it otherwise takes from the environment once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        self._patch = monkeypatch
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)

    def endpoint(self, url: str) -> None:
        self._patch.setattr("huggingface_hub.constants.ENDPOINT", url)
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        self._patch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)

    def offline(self) -> None:
        self._patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


class HubStandIn:
    """The server; a context manager. `requests` lists what was asked for, as "METHOD path".

    With `redirect` it sends every client there.
    """

    def __init__(self, *, redirect: str | None = None) -> None:
        self.redirect = redirect
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        hub = self

        class Handler(_Handler):
            stand_in = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def downloads(self) -> set[str]:
        """The files whose contents were sent."""
        found = (_FILE.fullmatch(request.removeprefix("GET ")) for request in self.requests)
        return {match["file"] for match in found if match}

    def publish(self, name: str, files: Mapping[str, bytes], *, revision: str = "main", gated: bool = False) -> str:
        """Add a commit with these files to a model and let the revision point to it; gives the commit."""
        repository = self.repositories.setdefault(name, Repository())
        commit = hashlib.sha1(f"{name} {len(repository.commits)}".encode()).hexdigest()
        repository.commits[commit] = dict(files)
        repository.revisions[revision] = commit
        repository.gated = gated
        return commit

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One request. The protocol is HTTP/1.1, as a client that keeps its connections needs it."""

    stand_in: HubStandIn
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the log out of the tests' output."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.stand_in.requests.append(f"{self.command} {path}")
        if self.stand_in.redirect is not None:
            return self._send(302, b"", {"Location": self.stand_in.redirect})
        match = _FILE.fullmatch(path) or _MODEL.fullmatch(path)
        repository = self.stand_in.repositories.get(match["name"]) if match else None
        if match is None or repository is None:
            return self._refuse(401, "RepoNotFound")
        commit = repository.commit(match["revision"])
        if commit is None:
            return self._refuse(404, "RevisionNotFound")
        if "file" not in match.groupdict():
            return self._describe(match["name"], commit, repository.commits[commit], tree="/tree/" in path)
        if repository.gated:
            return self._refuse(401, "GatedRepo")
        return self._file(commit, repository.commits[commit].get(match["file"]))

    def _describe(self, name: str, commit: str, files: Mapping[str, bytes], *, tree: bool) -> None:
        listing = [
            {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for path, content in files.items()
        ]
        model = {"id": name, "sha": commit, "siblings": [{"rfilename": path} for path in files]}
        self._send(200, json.dumps(listing if tree else model).encode(), {"Content-Type": "application/json"})

    def _file(self, commit: str, content: bytes | None) -> None:
        if content is None:
            return self._refuse(404, "EntryNotFound")
        return self._send(200, content, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'})

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code, "Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
