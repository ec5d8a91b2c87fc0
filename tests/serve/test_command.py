"""`lmv3det serve` at the command line."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from lmv3det.cli import main


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--port", "70000"], "--port is 70000"),
        (["--requests", "0"], "--requests is 0"),
        (["--max-mb", "0"], "--max-mb is 0"),
        (["--timeout", "nan"], "--timeout is nan"),
        (["--precision", "int8"], "--precision is 'int8'"),
        (["--ckpt", "nothing.pth"], "nothing.pth: no such checkpoint"),
        (["--host", "no.such.host.invalid"], "give another --port or --host"),
    ],
)
def test_wrong_options(words, says, capsys):
    assert main(["serve", *words]) == 1
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_a_port_that_is_taken(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 1
    assert "cannot be listened on" in capsys.readouterr().err


def test_without_the_extra(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pebble" else found(name)
    )
    assert main(["serve"]) == 1
    assert 'needs pebble, not installed: `pip install ".[serve]"`' in capsys.readouterr().err


def test_from_start_to_end(checkpoint, png, tmp_path):
    """A host that others reach is noted; SIGTERM ends it, and nothing is left."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "lmv3det", "serve", "--ckpt", str(checkpoint), "--port", "0"]
    server = subprocess.Popen(
        [*command, "--host", "0.0.0.0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"},
    )
    assert server.stdout is not None
    try:
        port = int(re.findall(r"http://0\.0\.0\.0:(\d+)/", server.stdout.readline())[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/v1/detect", png.read_bytes())
        answer = json.loads(connection.getresponse().read())
        assert answer["pages"][0]["detections"]
        connection.close()
        assert [p.name[:14] for p in temporary.glob("lmv3det*")] == ["lmv3det-serve-"]
    finally:
        server.send_signal(signal.SIGTERM)
        _, error = server.communicate(timeout=60)
    assert server.returncode == 143
    assert "everybody who can reach it may send files" in error and "Traceback" not in error
    assert list(temporary.glob("lmv3det*")) == []
