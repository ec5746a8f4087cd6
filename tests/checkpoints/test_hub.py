"""Checkpoints from the hub, through the real client against a stand-in on loopback."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming_asr.checkpoints.checkpoint import fetch_language_model, read_checkpoint
from streaming_asr.checkpoints.description import cached_models, describe
from streaming_asr.checkpoints.hub import is_hub_name
from streaming_asr.errors import CheckpointError
from tests.checkpoints.checkpoint_folders import contents, write_checkpoint, write_json, write_multilingual
from tests.checkpoints.hub_stand_in import HubSettings, HubStandIn

NAME = "someone/tiny"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubSettings]:
    import huggingface_hub

    huggingface_hub.close_session()
    yield HubSettings(monkeypatch, tmp_path / "cache")
    huggingface_hub.close_session()


@pytest.fixture
def hub(settings: HubSettings) -> Iterator[HubStandIn]:
    with HubStandIn() as stand_in:
        settings.endpoint(stand_in.url)
        yield stand_in


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny")


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("name", ["facebook/wav2vec2-base-960h", "a/b.c_d"])
def test_names_of_the_hub_are_recognized(name: str) -> None:
    assert is_hub_name(name)


@pytest.mark.parametrize("name", ["english", "a/b/c", "../model", "/a/b", "a/..", "./a", "https://a/b", "a b/c"])
def test_other_names_are_not(name: str) -> None:
    assert not is_hub_name(name)


def test_a_model_of_the_hub_reads_like_its_folder(hub: HubStandIn, tiny: Path) -> None:
    hub.publish(NAME, contents(tiny))
    checkpoint, local = read_checkpoint(NAME), read_checkpoint(tiny)
    assert checkpoint.name == NAME
    assert (checkpoint.config, checkpoint.labels, checkpoint.normalize) == (local.config, local.labels, local.normalize)
    assert all(checkpoint.weights[name].equal(tensor) for name, tensor in local.weights.items())


def test_only_what_is_needed_is_downloaded(hub: HubStandIn, tiny: Path) -> None:
    extra = (
        "pytorch_model.bin",
        "flax_model.msgpack",
        "tf_model.h5",
        "README.md",
        "language_model/3gram.bin",
        "a/b.json",
    )
    hub.publish(NAME, {**contents(tiny), **dict.fromkeys(extra, b"not wanted")})
    read_checkpoint(NAME)
    assert hub.downloads == {"README.md", "config.json", "vocab.json", "preprocessor_config.json", "model.safetensors"}


def test_of_many_languages_only_one_is_downloaded(hub: HubStandIn, tmp_path: Path) -> None:
    hub.publish(NAME, contents(write_multilingual(tmp_path / "many", {"eng": "abc", "fra": "abcé", "deu": "abß"})))
    checkpoint = read_checkpoint(NAME, language="fra")
    assert checkpoint.labels == ("", " ", "a", "b", "c", "é")
    assert {name for name in hub.downloads if name.startswith("adapter")} == {"adapter.fra.safetensors"}


def test_what_cannot_be_used_is_refused_before_its_weights_are_downloaded(hub: HubStandIn, tmp_path: Path) -> None:
    hub.publish("a/pretrained", contents(write_checkpoint(tmp_path / "a", architectures=["Wav2Vec2ForPreTraining"])))
    hub.publish("a/whisper", contents(write_checkpoint(tmp_path / "b", model_type="whisper")))
    with pytest.raises(CheckpointError, match="Wav2Vec2ForPreTraining, without a CTC head"):
        read_checkpoint("a/pretrained")
    with pytest.raises(CheckpointError, match="whisper"):
        read_checkpoint("a/whisper")
    assert not any(name.endswith(".safetensors") for name in hub.downloads)


def test_nothing_is_downloaded_twice(hub: HubStandIn, tiny: Path) -> None:
    hub.publish(NAME, contents(tiny))
    read_checkpoint(NAME)
    hub.requests.clear()
    read_checkpoint(NAME)
    assert hub.downloads == set()


def test_the_cache_serves_without_a_network(hub: HubStandIn, settings: HubSettings, tiny: Path) -> None:
    hub.publish(NAME, contents(tiny))
    before = read_checkpoint(NAME)
    settings.offline()
    hub.requests.clear()
    assert read_checkpoint(NAME).labels == before.labels
    assert hub.requests == []


def test_offline_mode_says_what_to_do_about_a_model_that_is_not_there(settings: HubSettings) -> None:
    settings.offline()
    with pytest.raises(CheckpointError, match=r"not complete in the cache .*, and HF_HUB_OFFLINE forbids"):
        read_checkpoint(NAME)


def test_offline_mode_refuses_a_language_that_was_never_downloaded(
    hub: HubStandIn, settings: HubSettings, tmp_path: Path
) -> None:
    hub.publish(NAME, contents(write_multilingual(tmp_path / "many", {"eng": "abc", "fra": "abcé"})))
    read_checkpoint(NAME, language="eng")
    settings.offline()
    assert read_checkpoint(NAME).language == "eng"
    with pytest.raises(CheckpointError, match=r"adapter\.fra\.safetensors"):
        read_checkpoint(NAME, language="fra")


def test_weights_that_were_never_downloaded_are_asked_for(hub: HubStandIn, settings: HubSettings, tiny: Path) -> None:
    hub.publish(NAME, contents(tiny))
    describe(NAME)
    settings.offline()
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE forbids"):
        read_checkpoint(NAME)


def test_a_hub_that_is_gone_is_replaced_by_the_cache(
    hub: HubStandIn, settings: HubSettings, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.publish(NAME, contents(tiny))
    before = read_checkpoint(NAME)
    settings.endpoint(f"http://127.0.0.1:{unused_port()}")
    with caplog.at_level(logging.INFO, logger="streaming_asr"):
        assert read_checkpoint(NAME).labels == before.labels
    assert "the cache is used" in caplog.text


def test_a_hub_that_does_not_answer_is_named(settings: HubSettings) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    settings.endpoint(url)
    with pytest.raises(CheckpointError, match=f"{url} does not answer .*; check the network and HF_ENDPOINT"):
        read_checkpoint(NAME)


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("http://user:secret@127.0.0.1:9", r"does not answer .*; check it, or leave it out by NO_PROXY"),
        ("socks5://127.0.0.1:9", r"its package is missing: pip install httpx\[socks\]"),
        ("ftp://127.0.0.1:9", "Unknown scheme for proxy"),
    ],
)
def test_a_proxy_that_does_not_work_is_named(
    settings: HubSettings, monkeypatch: pytest.MonkeyPatch, proxy: str, says: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("http_proxy", proxy)
    settings.endpoint("http://127.0.0.1:9")
    shown = proxy.replace("user:secret@", "")
    with pytest.raises(CheckpointError, match=f"through the proxy {shown} of the environment.*{says}") as raised:
        read_checkpoint(NAME)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("address", ["http://127.0.0.1:99999", "127.0.0.1:80", "ftp://example.org", "http://"])
def test_an_address_of_the_hub_that_is_none_is_named(settings: HubSettings, address: str) -> None:
    settings.endpoint(address)
    with pytest.raises(CheckpointError, match=f"HF_ENDPOINT is '{address}'; it must be an address like https://"):
        read_checkpoint(NAME)


def test_a_redirect_to_a_host_that_does_not_answer_is_named(settings: HubSettings) -> None:
    port = unused_port()
    with HubStandIn(redirect=f"http://127.0.0.1:{port}/login") as stand_in:
        settings.endpoint(stand_in.url)
        says = f"http://127.0.0.1:{port}/login, to which {stand_in.url} redirects, does not answer"
        with pytest.raises(CheckpointError, match=says):
            read_checkpoint(NAME)


def test_a_revision_can_be_named(hub: HubStandIn, tiny: Path, tmp_path: Path) -> None:
    hub.publish(NAME, contents(tiny))
    write_json(tiny, vocab={"<pad>": 0, "x": 1})
    commit = hub.publish(NAME, contents(tiny), revision="v2")
    assert read_checkpoint(NAME).labels[3:] == ("a", "b", "c")
    assert read_checkpoint(NAME, revision="v2").labels[1] == "x"
    assert read_checkpoint(NAME, revision=commit).labels[1] == "x"


def test_a_revision_that_is_not_there_is_named(hub: HubStandIn, tiny: Path) -> None:
    hub.publish(NAME, contents(tiny))
    with pytest.raises(CheckpointError, match=r"has no revision 'v9'; a branch, a tag or a commit"):
        read_checkpoint(NAME, revision="v9")


def test_a_model_that_is_not_there_is_named(hub: HubStandIn) -> None:
    with pytest.raises(CheckpointError, match=r"nobody/nothing: is neither a folder here nor a public model"):
        read_checkpoint("nobody/nothing")


def test_a_gated_model_says_where_its_terms_are(hub: HubStandIn, tiny: Path) -> None:
    hub.publish(NAME, contents(tiny), gated=True)
    with pytest.raises(CheckpointError, match=rf"is gated; accept its terms at {hub.url}/{NAME}, then sign in"):
        read_checkpoint(NAME)


def test_a_model_without_configuration_is_refused(hub: HubStandIn) -> None:
    hub.publish(NAME, {"README.md": b"empty"})
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_checkpoint(NAME)
    assert "config.json" in (describe(NAME).refusal or "")


def test_a_language_model_comes_when_it_is_asked_for(hub: HubStandIn, tiny: Path) -> None:
    hub.publish(NAME, {**contents(tiny), "language_model/attrs.json": b"{}", "language_model/3gram.bin": b"words"})
    folder = fetch_language_model(read_checkpoint(NAME))
    assert folder is not None
    assert contents(folder) == {"attrs.json": b"{}", "3gram.bin": b"words"}


def test_a_model_without_language_model_has_none(hub: HubStandIn, tiny: Path) -> None:
    hub.publish(NAME, contents(tiny))
    assert fetch_language_model(read_checkpoint(NAME)) is None


def test_a_model_is_described_without_downloading_its_weights(hub: HubStandIn, tiny: Path) -> None:
    hub.publish(NAME, contents(tiny))
    description = describe(NAME)
    assert (description.family, description.hop, description.size, description.refusal) == ("wav2vec2", 8, 0, None)
    assert "model.safetensors" not in hub.downloads


def test_the_usable_models_of_the_cache_are_listed(hub: HubStandIn, tiny: Path, tmp_path: Path) -> None:
    hub.publish(NAME, contents(tiny))
    hub.publish("someone/described", contents(tiny))
    hub.publish("someone/broken", {**contents(tiny), "model.safetensors": b"none"})
    assert cached_models() == ()
    read_checkpoint(NAME)
    describe("someone/described")
    with pytest.raises(CheckpointError, match="truncated"):
        read_checkpoint("someone/broken")
    (found,) = cached_models()
    assert (found.name, found.vocabulary, found.streams) == (NAME, 6, True)


def test_the_environment_of_the_client_is_honoured(tiny: Path, tmp_path: Path) -> None:
    """In a process of its own, as the client reads the environment once: first from the hub, then from the cache."""
    program = f"from streaming_asr.checkpoints import checkpoint; print(checkpoint.read_checkpoint({NAME!r}).folder)"
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    with HubStandIn() as stand_in:
        stand_in.publish(NAME, contents(tiny))
        first = run(program, {**environment, "HF_ENDPOINT": stand_in.url})
    second = run(program, {**environment, "HF_HUB_OFFLINE": "1"})
    assert first.stdout == second.stdout
    assert str(tmp_path / "home") in first.stdout
    assert "%" in first.stderr, "the client shows its progress bar"


def run(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
