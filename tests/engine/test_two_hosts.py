"""Training on two hosts: two network namespaces of this machine, an agent of torchrun in each.

Each has its own copy of the pages and its own output folder, as without a shared disk. Needs root
and `ip netns`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_trainer import losses, make_pages
from training_helpers import tiny_config

from lmv3det.checkpoint.file import load_checkpoint
from lmv3det.config import to_yaml

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
HOSTS = {"lmv3-a": "10.77.0.1", "lmv3-b": "10.77.0.2"}
STEPS, EVERY = 30, 4
PATIENCE = 150.0


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    """Two namespaces with a cable between them."""
    if not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("needs root and the command ip")
    first, second = HOSTS
    try:
        ip("netns", "add", first)
        ip("netns", "add", second)
        ip("link", "add", first, "netns", first, "type", "veth", "peer", second, "netns", second)
        for host, address in HOSTS.items():
            ip("-n", host, "address", "add", f"{address}/24", "dev", host)
            ip("-n", host, "link", "set", host, "up")
            ip("-n", host, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        remove_network()
        pytest.skip(f"no network namespaces: {error.stderr.strip()}")
    yield
    remove_network()


def remove_network() -> None:
    for host in HOSTS:
        power_off(host)
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("netns", "delete", host)


def power_off(host: str) -> None:
    """Kill all processes of a host at once."""
    found = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True)
    for word in found.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(word), signal.SIGKILL)


def agent(host: str, folder: Path) -> subprocess.Popen:
    """torchrun on a host; what it says goes to `HOST.log`."""
    words = ["ip", "netns", "exec", host, sys.executable, "-m", "torch.distributed.run"]
    words += ["--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "3"]
    words += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{HOSTS['lmv3-a']}:29511"]
    words += ["--rdzv-conf", f"is_host={int(host == 'lmv3-a')}"]  # else told by the host's name
    words += ["--rdzv-id", "pages", "--local-addr", HOSTS[host], str(ROOT / "train.py")]
    words += ["--config", str(folder / host / "run.yaml"), "--resume-or-start"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # else nobody can come back
    with open(folder / f"{host}.log", "ab") as log:
        return subprocess.Popen(
            words,
            env={**environment, "GLOO_SOCKET_IFNAME": host},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def make_hosts(root: Path) -> Path:
    """A folder with those of both hosts: pages and config."""
    for host in HOSTS:
        folder = root / host
        folder.mkdir()
        make_pages(folder)
        solver = {"steps": STEPS, "checkpoint_every": EVERY, "keep_last": 0}
        config = tiny_config(folder, folder / "run", neck={"norm": "frozen"}, solver=solver)
        (folder / "run.yaml").write_text(to_yaml(config), encoding="utf-8")
    return root


def wait_for_step(folder: Path, step: int, agents: list[subprocess.Popen]) -> None:
    """Wait until host A has logged a step."""
    until = time.monotonic() + PATIENCE
    log = folder / "lmv3-a" / "run" / "metrics.jsonl"
    while not (log.exists() and max((e[0] for e in losses(log.parent)), default=0) >= step):
        running = all(process.poll() is None for process in agents)
        assert running and time.monotonic() < until, said(folder)
        time.sleep(0.05)


def finish(folder: Path, agents: list[subprocess.Popen]) -> None:
    for process in agents:
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = None
        assert code == 0, said(folder)


def said(folder: Path) -> str:
    return "\n".join((folder / f"{host}.log").read_text()[-4000:] for host in HOSTS)


@pytest.fixture(scope="module")
def undisturbed(network, tmp_path_factory) -> list[tuple]:
    """The losses of a run that nothing happens to."""
    folder = make_hosts(tmp_path_factory.mktemp("undisturbed"))
    finish(folder, [agent(host, folder) for host in HOSTS])
    found = losses(folder / "lmv3-a" / "run")
    assert [entry[0] for entry in found] == list(range(1, STEPS + 1))
    assert not (folder / "lmv3-b" / "run").exists(), "one host writes"
    return found


def test_a_host_that_dies_and_comes_back(tmp_path, undisturbed):
    hosts = make_hosts(tmp_path)
    first, second = (agent(host, hosts) for host in HOSTS)
    wait_for_step(hosts, 2 * EVERY + 1, [first, second])
    power_off("lmv3-b")
    second.wait(PATIENCE)
    second = agent("lmv3-b", hosts)
    finish(hosts, [first, second])
    assert "going on from step" in (hosts / "lmv3-a.log").read_text()
    assert losses(hosts / "lmv3-a" / "run") == undisturbed
    assert load_checkpoint(hosts / "lmv3-a" / "run" / "last.pth").step == STEPS


def test_the_host_of_the_rendezvous_dies(tmp_path, undisturbed):
    """With it goes the place where the agents meet: both are started again, by the same command."""
    hosts = make_hosts(tmp_path)
    first, second = (agent(host, hosts) for host in HOSTS)
    wait_for_step(hosts, 2 * EVERY + 1, [first, second])
    power_off("lmv3-a")
    first.wait(PATIENCE)
    assert second.wait(PATIENCE) != 0
    finish(hosts, [agent(host, hosts) for host in HOSTS])
    assert losses(hosts / "lmv3-a" / "run") == undisturbed
