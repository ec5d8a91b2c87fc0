"""Shards on a Ray cluster: Ray Data places the workers, feeds them, and starts again what died."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from typing import Any

from lmv3det.batch.documents import Document
from lmv3det.batch.shard import Options, Result, Worker
from lmv3det.errors import InputError, explain, install_extra

log = logging.getLogger(__name__)


@dataclass
class Cluster:
    """What a job takes of a cluster.

    Attributes:
        address: of a running cluster, as `ray.init` takes it; None: RAY_ADDRESS, or processes on
            this machine.
        workers: processes with a detector; None: as many as there is room for.
        cpus: cores of each, which are its threads too.
        gpus: cards of each; a fraction lets several workers share a card.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpus: float = 0.0


class _Actor:
    """A worker in a process of Ray's."""

    def __init__(self, options: Options) -> None:
        self.worker: Worker | InputError
        try:
            self.worker = Worker(options)
        except InputError as error:  # raised here, Ray would start the process again and again
            self.worker = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, list]:
        """A shard's row to that of its `Result`, or to `error`, which ends the job."""
        (number,), (content,) = batch["number"], batch["documents"]
        result, why = Result(int(number), b"", 0, 0, 0), ""
        if isinstance(self.worker, InputError):
            why = str(self.worker)
        else:
            documents = [Document(*values) for values in json.loads(content)]
            try:
                result = self.worker(int(number), documents)
            except (InputError, OSError) as error:
                why = f"{socket.gethostname()}: {error}"
        return {key: [value] for key, value in {**vars(result), "error": why}.items()}


def run(
    shards: Sequence[tuple[int, Sequence[Document]]], options: Options, cluster: Cluster
) -> Iterator[Result]:
    """The shards as they are finished, in any order.

    Args:
        shards: number and documents of each.
        options: of the workers; their threads are the cluster's `cpus`.
        cluster: what they may take.

    Raises:
        InputError: Ray is not installed, the cluster cannot be reached or has no room, or a worker
            cannot go on.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its makers
    try:
        import ray.data
    except ImportError:
        raise InputError(f"the package ray is not installed: {install_extra('batch')}") from None
    with _connected(cluster):
        workers = min(_count_workers(cluster), len(shards))
        log.info("%d workers, each of %d CPUs and %g cards", workers, cluster.cpus, cluster.gpus)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars, context.print_on_execution_start = False, False
        rows = [
            {"number": number, "documents": json.dumps([astuple(d) for d in documents]).encode()}
            for number, documents in shards
        ]
        # A block holds one shard, so that a shard comes back as soon as it is finished.
        source = ray.data.from_items(rows, override_num_blocks=len(rows))
        del rows
        results = source.map_batches(
            _Actor,
            batch_size=1,
            fn_constructor_args=(replace(options, threads=cluster.cpus),),
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus or None,
        )
        for batch in results.iter_batches(batch_size=None, prefetch_batches=0):
            for row in zip(*batch.values(), strict=True):
                values = dict(zip(batch, row, strict=True))
                if why := values.pop("error"):
                    raise InputError(str(why))
                content = values.pop("content")
                counts = {key: int(value) for key, value in values.items()}
                yield Result(content=content, **counts)


@contextmanager
def _connected(cluster: Cluster) -> Iterator[None]:
    """In a cluster: the one that this process is in already, or the one that is named."""
    import ray

    if ray.is_initialized():
        yield
        return
    address = cluster.address or os.environ.get("RAY_ADDRESS") or "local"
    try:
        found = ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"{address}: no Ray cluster ({explain(error)})") from None
    try:
        if found.dashboard_url:
            log.info("dashboard: http://%s", found.dashboard_url)
        yield
    finally:
        ray.shutdown()


def _count_workers(cluster: Cluster) -> int:
    import ray

    there = ray.cluster_resources()
    room = int(there.get("CPU", 0) // cluster.cpus)
    if cluster.gpus:
        room = min(room, int(there.get("GPU", 0) / cluster.gpus))
    if cluster.workers is None and room == 0:
        raise InputError(
            f"the cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} cards: no "
            f"room for a worker of {cluster.cpus} CPUs and {cluster.gpus:g} cards"
        )
    if cluster.workers is not None and cluster.workers > room:
        log.warning(
            "the cluster has room for %d of the %d workers: the others wait until it grows",
            room,
            cluster.workers,
        )
    return cluster.workers or room
