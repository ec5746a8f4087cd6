"""The files in `deploy/` name options, extras and times that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from streaming_asr_server.cluster import application, check_settings, deployment_options
from streaming_asr_server.settings import Settings, read_settings, unknown_variables

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def yaml_of(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_the_ray_service_names_the_application_and_its_options() -> None:
    (served,) = yaml.safe_load(yaml_of("rayservice.yaml")["spec"]["serveConfigV2"])["applications"]
    assert served["import_path"] == f"{application.__module__}:{application.__name__}"
    settings = read_settings(served["args"], environment={})
    check_settings(settings)
    assert settings.max_replicas == 16


def test_kubernetes_waits_as_long_as_ray_does() -> None:
    spec = yaml_of("rayservice.yaml")["spec"]
    (served,) = yaml.safe_load(spec["serveConfigV2"])["applications"]
    (workers,) = spec["rayClusterConfig"]["workerGroupSpecs"]
    waits = deployment_options(read_settings(served["args"], environment={}))["graceful_shutdown_timeout_s"]
    assert workers["template"]["spec"]["terminationGracePeriodSeconds"] >= waits


def test_ray_itself_takes_the_service() -> None:
    schema = pytest.importorskip("ray.serve.schema", reason="needs Ray, the extra 'cluster'")
    schema.ServeDeploySchema.model_validate(yaml.safe_load(yaml_of("rayservice.yaml")["spec"]["serveConfigV2"]))


def test_compose_sets_options_that_there_are_and_waits_for_streams() -> None:
    services = yaml_of("compose.yaml")["services"]
    server = services["server"]
    assert unknown_variables(server["environment"]) == []
    assert seconds(server["stop_grace_period"]) > Settings().grace_seconds + 10
    assert set(server["depends_on"]) <= set(services)
    assert (DEPLOY / server["build"]["context"] / server["build"]["dockerfile"]).exists()


def test_the_image_has_extras_that_there_are() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {extra for names in re.findall(r"EXTRA=([\w,]+)", text) for extra in names.split(",")}
    assert named == {"server", "redis", "cluster"}
    assert named <= set(extras)
    assert unknown_variables(dict.fromkeys(re.findall(r"STREAMING_ASR_\w+", text), "")) == []


def test_the_volume_of_the_image_is_a_folder_of_its_user() -> None:
    """A volume that is mounted where no folder is belongs to root."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    (user,), (volume,) = re.findall(r"^USER (.+)$", text, re.M), re.findall(r"^VOLUME (.+)$", text, re.M)
    made = re.search(rf"install --directory --owner {user} --group {user} {volume}$", text, re.M)
    assert made is not None
    assert made.end() <= text.index(f"\nUSER {user}")
    assert f"HF_HOME={volume}\n" in text
    assert any(mounted.endswith(f":{volume}") for mounted in yaml_of("compose.yaml")["services"]["server"]["volumes"])


def test_what_git_ignores_is_not_sent_to_the_builder() -> None:
    ignored = [line.strip("/").replace("*", "any") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()]
    kept_back = [line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()]
    sent = [name for name in ignored if not any(fnmatch(name, pattern) for pattern in kept_back)]
    assert sent == []


def test_systemd_takes_its_unit_and_waits_for_streams(tmp_path: Path) -> None:
    text = (DEPLOY / "streaming-asr.service").read_text("utf-8")
    (waits,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.M)
    assert int(waits) > Settings().grace_seconds + 10
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / "streaming-asr.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M), "utf-8")
    found = subprocess.run([verify, "verify", "--man=no", unit], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")
