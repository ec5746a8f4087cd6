"""A copy that a cluster stops is told nothing: it notices, warns, waits, and sends its streams elsewhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from streaming_asr_server.cluster import Departure, StreamsPolicy, application, check_settings, deployment_options
from streaming_asr_server.local import local_server
from streaming_asr_server.model_settings import ModelSettings
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.settings import Settings

from streaming_asr.errors import OptionError
from tests.server.speaking import pcm, raw, until

pytestmark = pytest.mark.anyio

CHECK = 0.02


async def test_streams_of_a_copy_that_is_stopped_are_warned_and_then_sent_elsewhere() -> None:
    async with local_server(ScriptedRecognition, Settings(grace_seconds=0.1)) as server, raw(server.url) as client:
        await client.send({"type": "start"}, pcm(17))
        await client.receive("partial")
        Departure(server.service, stopping=lambda: True, check_seconds=CHECK)
        messages, code = await client.receive_all()
    kinds = [(message["type"], message["code"]) for message in messages if "code" in message]
    assert kinds == [("warning", "draining"), ("error", "going_away")]
    assert code == 1012


async def test_a_stream_may_end_in_peace_while_its_copy_is_stopped() -> None:
    async with local_server(ScriptedRecognition, Settings(grace_seconds=30)) as server, raw(server.url) as client:
        await client.send({"type": "start"}, pcm(17))
        Departure(server.service, stopping=lambda: True, check_seconds=CHECK)
        await client.receive("warning")
        await client.send({"type": "finish"})
        messages, code = await client.receive_all()
    assert [message["text"] for message in messages if message["type"] == "final"] == ["w17"]
    assert code == 1000


async def test_a_controller_that_is_away_stops_nothing() -> None:
    asked = 0

    def not_stopping() -> bool:
        nonlocal asked
        asked += 1
        return False

    async with local_server(ScriptedRecognition) as server:
        Departure(server.service, stopping=not_stopping, check_seconds=CHECK)
        await until(lambda: asked > 2)
        assert server.service.admission.status == "ready"


async def test_a_controller_that_cannot_be_asked_is_asked_again() -> None:
    problems: list[Exception] = [KeyError("streaming-asr"), RuntimeError("no controller")]

    def stopping() -> bool:
        if problems:
            raise problems.pop()
        return True

    async with local_server(ScriptedRecognition) as server:
        departure = Departure(server.service, stopping=stopping, check_seconds=CHECK)
        await until(lambda: server.service.admission.status == "draining")
        with departure.asked():
            assert server.service.admission.status == "ready"


async def test_a_copy_that_is_asked_for_its_health_stays_and_one_that_is_asked_again_comes_back() -> None:
    async with local_server(ScriptedRecognition) as server:
        departure = Departure(server.service, stopping=lambda: True, check_seconds=CHECK)
        with departure.asked():
            await asyncio.sleep(10 * CHECK)
            assert server.service.admission.status == "ready"
        await until(lambda: server.service.admission.status == "draining")
        with departure.asked():
            assert server.service.admission.status == "ready"


@dataclass(frozen=True)
class Context:
    """What Ray tells a policy."""

    aggregated_metrics: dict[str, dict[str, float]] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("streams", "replicas"), [([], 1), ([0.0], 1), ([24.0], 1), ([24.5], 2), ([20.0, 20.0, 20.0], 3)], ids=str
)
def test_copies_are_as_many_as_the_open_streams_need(streams: list[float], replicas: int) -> None:
    metrics = {"streams": {str(number): value for number, value in enumerate(streams)}} if streams else {}
    assert StreamsPolicy(24)(Context(metrics)) == (replicas, {})


def test_a_fixed_number_of_copies_and_a_range_of_them() -> None:
    fixed = deployment_options(Settings(replicas=3, replica_cpus=2, replica_gpus=0.25))
    assert (fixed["num_replicas"], fixed["ray_actor_options"]) == (3, {"num_cpus": 2, "num_gpus": 0.25})
    scaled = deployment_options(Settings(replicas=2, max_replicas=8, max_streams=40))["autoscaling_config"]
    assert (scaled["min_replicas"], scaled["max_replicas"]) == (2, 8)
    assert scaled["policy"]["policy_kwargs"] == {"streams_per_replica": 30}


def test_ray_waits_for_a_copy_longer_than_its_streams_may_take() -> None:
    assert deployment_options(Settings(grace_seconds=90))["graceful_shutdown_timeout_s"] > 90 + 10


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (Settings(wyoming_port=10_300), "wyoming_port is a door of one process"),
        (Settings(vosk_port=2_700), "vosk_port is a door of one process"),
        (Settings(models=(ModelSettings(name="a", vosk_port=2_700),)), "vosk_port of the model 'a' is a door"),
        (Settings(device="cuda"), "replica_gpus is 0"),
        (Settings(models=(ModelSettings(name="a"), ModelSettings(name="b", device="cuda:0"))), "device cuda:0"),
    ],
    ids=["wyoming", "vosk", "vosk of a model", "cuda", "cuda for one model"],
)
def test_what_cannot_work_in_a_cluster_is_told(settings: Settings, problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        check_settings(settings)


def test_arguments_of_serve_run_are_options_of_the_server() -> None:
    with pytest.raises(OptionError, match="there is no option 'max_stream'"):
        application({"max_stream": "3"})
