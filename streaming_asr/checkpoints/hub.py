"""Checkpoints of the Hugging Face hub: fetched through `huggingface_hub`, into its cache, under its settings.

Its environment variables hold: HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE, HF_TOKEN, HF_HUB_DISABLE_PROGRESS_BARS. Only
what is needed is fetched: first the small files, which tell whether the model can be used at all, then its weights.
"""

from __future__ import annotations

import logging
import re
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final
from urllib.parse import urlsplit

from streaming_asr.checkpoints import front_end, tokenizer, weights
from streaming_asr.errors import CheckpointError, MissingExtraError

_logger = logging.getLogger(__name__)

_NAME: Final = re.compile(r"[\w][\w.\-]*/[\w][\w.\-]*")
SETTINGS: Final = (
    "config.json",
    "vocab.json",
    "alphabet.json",
    "README.md",
    *tokenizer.FILES,
    *front_end.FILES,
    *weights.INDEXES,
)
"""The small files of a checkpoint."""


def is_hub_name(name: str) -> bool:
    """Whether a string has the form organization/model."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def fetch_settings(name: str, revision: str | None = None) -> Path:
    """The cached folder of a hub model, with its small files in it.

    `revision` is a branch, a tag or a commit. Without a network, or in offline mode, what is cached is used. Raises
    `CheckpointError` when the model or revision is not there, is gated, or can neither be reached nor found in the
    cache.
    """
    return _snapshot(name, revision, SETTINGS)


def fetch(name: str, folder: Path, files: Sequence[str]) -> None:
    """Download files of a hub model into its cached `folder`, at that commit; errors as in `fetch_settings`."""
    _snapshot(name, folder.name, files)


def list_files(name: str, folder: Path) -> frozenset[str]:
    """The names of all files of a hub model at the commit of `folder`; without a network, of those in the cache."""
    hub = _library()
    with _explained(name, folder.name):
        try:
            model = hub.HfApi().model_info(name, revision=folder.name)
            return frozenset(file.rfilename for file in model.siblings or ())
        except _transport_errors() as error:
            cached = local_files(folder)
            if not any(file.endswith((".safetensors", ".bin")) for file in cached):
                raise
            _logger.info("%s: the hub was not reached (%s); the cache is used", name, type(error).__name__)
            return cached


def local_files(folder: Path) -> frozenset[str]:
    """The names of the files that lie directly in a folder; none where there is no such folder."""
    return frozenset(path.name for path in folder.glob("*") if path.is_file())


def cached_folder(name: str, revision: str | None = None) -> Path | None:
    """The folder of a hub model in the cache, without asking the network; None where there is none."""
    hub = _library()
    found = hub.try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def cached_folders() -> dict[str, Path]:
    """The folder in the cache of the newest revision of every hub model there that has a `config.json`, by name."""
    hub = _library()
    if not Path(hub.constants.HF_HUB_CACHE).is_dir():
        return {}
    cache = hub.scan_cache_dir()
    folders: dict[str, Path] = {}
    for repository in sorted(cache.repos, key=lambda repository: repository.repo_id):
        newest = max(repository.revisions, key=lambda revision: revision.last_modified, default=None)
        if repository.repo_type == "model" and newest is not None and (newest.snapshot_path / "config.json").exists():
            folders[repository.repo_id] = newest.snapshot_path
    return folders


def _snapshot(name: str, revision: str | None, files: Sequence[str]) -> Path:
    hub = _library()
    with _explained(name, revision):
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=list(files)))


@contextmanager
def _explained(name: str, revision: str | None) -> Iterator[None]:
    """Turns what the library raises into one sentence that says what would be right."""
    from huggingface_hub import constants, errors

    _check_endpoint(name)
    try:
        yield
    except ImportError as error:
        remedy = "its package is missing: pip install httpx[socks]"
        raise CheckpointError(f"{name}: could not be downloaded from {_way(error)}: {remedy}") from error
    except errors.GatedRepoError as error:
        place = f"{constants.ENDPOINT}/{name}"
        message = f"{name}: is gated; accept its terms at {place}, then sign in by 'hf auth login' or HF_TOKEN"
        raise CheckpointError(message) from error
    except errors.RepositoryNotFoundError as error:
        message = f"{name}: is neither a folder here nor a public model at {constants.ENDPOINT}; check the spelling"
        raise CheckpointError(f"{message}, or sign in by 'hf auth login' if it is private") from error
    except errors.RevisionNotFoundError as error:
        message = f"{name}: has no revision {revision!r}; a branch, a tag or a commit was expected"
        raise CheckpointError(message) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise CheckpointError(f"{name}: {_unreachable(error)}") from error
    except _transport_errors(ValueError, RuntimeError) as error:
        raise CheckpointError(f"{name}: could not be downloaded from {_way(error)} ({_first_line(error)})") from error


def _unreachable(error: Exception) -> str:
    from huggingface_hub import constants

    cache = f"is not complete in the cache {constants.HF_HUB_CACHE}"
    if constants.HF_HUB_OFFLINE:
        return f"{cache}, and HF_HUB_OFFLINE forbids to download it; load it once with a network"
    cause = error.__cause__ or error
    check = "it, or leave it out by NO_PROXY" if _proxy() else "the network and HF_ENDPOINT"
    return f"{cache}, and {_way(cause)} does not answer ({_first_line(cause)}); check {check}"


def _check_endpoint(name: str) -> None:
    """Refuse an address that the client could not even read; nothing is asked of it in offline mode."""
    from huggingface_hub import constants

    try:
        parts = urlsplit(constants.ENDPOINT)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable and not constants.HF_HUB_OFFLINE:
        like = "it must be an address like https://huggingface.co"
        raise CheckpointError(f"{name}: HF_ENDPOINT is {_without_password(constants.ENDPOINT)!r}; {like}")


def _way(error: BaseException) -> str:
    """The hub, with the proxy or the redirect on the way to it; passwords are left out."""
    from huggingface_hub import constants

    proxy, sent = _proxy(), _sent_to(error)
    if sent:
        return f"{sent}, to which {constants.ENDPOINT} redirects,"
    return constants.ENDPOINT + (f" through the proxy {_without_password(proxy)} of the environment" if proxy else "")


def _proxy() -> str | None:
    """The proxy that the environment names for the hub."""
    from huggingface_hub import constants

    parts = urlsplit(constants.ENDPOINT)
    if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = urllib.request.getproxies()
    return next((proxies[scheme] for scheme in (parts.scheme, "all") if scheme in proxies), None)


def _sent_to(error: BaseException) -> str:
    """Where the hub sent the client, if that is another host: as a network does that wants one to sign in."""
    from huggingface_hub import constants

    try:
        request = getattr(error, "request", None)
    except RuntimeError:  # httpx raises it where there is no request
        request = None
    asked = "" if request is None else str(request.url)
    host = urlsplit(asked).netloc
    return _without_password(asked) if host and host != urlsplit(constants.ENDPOINT).netloc else ""


def _without_password(address: str) -> str:
    user, at, host = address.rpartition("@")
    scheme = user.partition("://")[0]
    return f"{scheme}://{host}" if at and "://" in user else host


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _library() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.constants  # not among the names that the package imports on first use
    except ModuleNotFoundError as error:
        raise MissingExtraError("loading models from the hub", "recognizer") from error
    return huggingface_hub


def _transport_errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """What the HTTP client under the library raises (which one that is varies with its version), and `others`."""
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, *others, *(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)))
