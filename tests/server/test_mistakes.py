"""`streaming-asr serve` asked for what cannot be: one line, exit code 2, and nothing announced before it is true."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from streaming_asr_server.ports import check_tls, listen
from streaming_asr_server.settings import unknown_variables

from streaming_asr.errors import OptionError


def serve(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMING_ASR_")}
    return subprocess.run(
        [sys.executable, "-m", "streaming_asr.command_line", "serve", *arguments],
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_port_in_use_is_told_before_anything_is_loaded_or_announced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = serve("--port", str(port), "--log-level", "error")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"streaming-asr: port {port} of 127.0.0.1 is in use; stop what uses it, or choose another with --port\n"
    )


def test_a_model_that_is_not_there_is_one_line() -> None:
    result = serve("--port", "0", "--model", "/nowhere/at/all", "--log-level", "error")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "/nowhere/at/all" in result.stderr


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "..."])
def test_a_host_that_is_none_of_this_machine_is_named(host: str) -> None:
    with pytest.raises(OptionError) as told:
        listen(host, 0)
    assert host in str(told.value)
    assert "of this machine" in str(told.value)


def test_a_host_may_have_several_addresses() -> None:
    listeners = listen("localhost", 0)
    assert all(listener.getsockname()[1] for listener in listeners)
    for listener in listeners:
        listener.close()


def test_files_of_tls_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    nowhere, empty = tmp_path / "nowhere.pem", tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(OptionError, match=r"tls_cert .*nowhere.pem cannot be read: No such file"):
        check_tls(nowhere, empty)
    with pytest.raises(OptionError, match="tls_cert must be a certificate chain"):
        check_tls(empty, empty)


def test_swapped_files_of_tls_are_told(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    try:
        subprocess.run([*command, "-subj", "/CN=localhost", *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    check_tls(certificate, key)
    with pytest.raises(OptionError, match="do not belong together"):
        check_tls(key, certificate)


def test_variables_that_are_misspelt_are_told_with_what_was_meant() -> None:
    environment = {"STREAMING_ASR_MAX_STREAM": "3", "STREAMING_ASR_PORT": "1", "STREAMING_ASR_XYZZY": "", "PATH": ""}
    assert unknown_variables(environment) == [
        "STREAMING_ASR_MAX_STREAM is no option and changes nothing; did you mean STREAMING_ASR_MAX_STREAMS?",
        "STREAMING_ASR_XYZZY is no option and changes nothing",
    ]
    assert unknown_variables({"STREAMING_ASR_CONFIG": "a.toml", "STREAMING_ASR_API_KEY": "key"}) == []
