"""Shards on a Ray cluster: Ray Data places the workers, feeds them, and starts again what died."""

from __future__ import annotations

import json
import logging
import os
import socket
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from typing import Any

from lmv3det.batch.documents import Document
from lmv3det.batch.shard import BatchOptions, Result, Worker
from lmv3det.errors import InputError, explain, install_extra

log = logging.getLogger(__name__)

TRIES = 3
"""Of a shard or document whose worker dies."""
Shard = tuple[int, Sequence[Document]]


@dataclass
class Cluster:
    """What a job takes of a cluster.

    Attributes:
        address: of a running cluster, as `ray.init` takes it; None: RAY_ADDRESS, or processes on
            this machine.
        workers: processes with a detector; None: as many as there is room for.
        cpus: cores of each, which are its threads too.
        gpus: GPUs of each; a fraction lets several workers share a GPU.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpus: float = 0.0


class _Actor:
    """A worker in a process of Ray's."""

    def __init__(self, options: BatchOptions) -> None:
        self.worker: Worker | InputError
        try:
            self.worker = Worker(options)
        except InputError as error:  # raised here, Ray would start the process again and again
            self.worker = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, list]:
        """A shard's row to that of its `Result`, or to why the job has to end: `error` in a line,
        or the `trace` of a fault of the program. Ray would take what is raised here for the
        shard's failure alone."""
        (number,), (content,) = batch["number"], batch["documents"]
        result, error, trace = Result(int(number), b"", 0, 0, 0), "", ""
        if isinstance(self.worker, InputError):
            error = str(self.worker)
        else:
            documents, fatal = json.loads(content)
            try:
                found = [Document(*values) for values in documents]
                result = self.worker(int(number), found, fatal=fatal)
            except (InputError, OSError) as why:
                error = f"{socket.gethostname()}: {why}"
            except Exception:
                trace = traceback.format_exc()
        row = {**vars(result), "error": error, "trace": trace}
        return {key: [value] for key, value in row.items()}


def run(shards: Sequence[Shard], options: BatchOptions, cluster: Cluster) -> Iterator[Result]:
    """The shards as they are finished, in any order. Those whose worker died each of `TRIES` times
    come last, with a failed row for every document at which it did.

    Args:
        shards: number and documents of each.
        options: of the workers; their threads are the cluster's `cpus`.
        cluster: what they may take.

    Raises:
        InputError: Ray is not installed, the cluster cannot be reached or has no room, a worker
            cannot go on, or dies at no document in particular.
        RuntimeError: a fault of the program in a worker, with its traceback.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its makers
    try:
        import ray.data  # noqa: F401
    except ImportError:
        raise InputError(f"the package ray is not installed: {install_extra('batch')}") from None
    with _connected(cluster):
        workers = _count_workers(cluster)
        log.info("%d workers, each of %d CPUs and %g GPUs", workers, cluster.cpus, cluster.gpus)
        finished = set()
        for result in _map(shards, options, cluster, workers):
            finished.add(result.number)
            yield result
        for number, documents in shards:
            if number not in finished:
                yield _try_again(number, documents, options, cluster, workers)


def _try_again(
    number: int,
    documents: Sequence[Document],
    options: BatchOptions,
    cluster: Cluster,
    workers: int,
) -> Result:
    """A shard whose worker died each time: its documents one by one, then all together but for
    those at which a worker died again."""
    log.warning(
        "shard %d: its worker died %d times (Ray's log says how); its %d documents are tried one "
        "by one", number, TRIES, len(documents),
    )  # fmt: skip
    alone = [(place, [document]) for place, document in enumerate(documents)]
    fine = {result.number for result in _map(alone, options, cluster, workers)}
    fatal = [place for place in range(len(documents)) if place not in fine]
    for result in _map([(number, documents)], options, cluster, workers, fatal):
        return result
    raise InputError(
        f"{documents[0].name}: a worker dies at the shard of {len(documents)} documents that "
        "begins with this one, and at none of them alone: too little memory? A new job with a "
        "smaller --shard-size may help"
    )


def _map(
    shards: Sequence[Shard],
    options: BatchOptions,
    cluster: Cluster,
    workers: int,
    fatal: Sequence[int] = (),
) -> Iterator[Result]:
    """The results of all shards but those whose worker died each time.

    Args:
        fatal: places of documents, in each shard, that are failed rows without a look.
    """
    import ray.data

    rows = [
        {"number": number, "documents": json.dumps([list(map(astuple, found)), fatal]).encode()}
        for number, found in shards
    ]
    # A block holds one shard, so that a shard comes back as soon as it is finished.
    source = ray.data.from_items(rows, override_num_blocks=len(rows))
    del rows
    context = source.context
    context.enable_progress_bars, context.print_on_execution_start = False, False
    context.max_errored_blocks = -1  # a shard whose worker died each time is left out
    results = source.map_batches(
        _Actor,
        batch_size=1,
        fn_constructor_args=(replace(options, threads=cluster.cpus),),
        # With a shard waiting at a worker that dies, that shard would have lost a try too.
        compute=ray.data.ActorPoolStrategy(
            size=min(workers, len(shards)), max_tasks_in_flight_per_actor=1
        ),
        num_cpus=cluster.cpus,
        num_gpus=cluster.gpus or None,
        max_task_retries=TRIES - 1,
    )
    for batch in results.iter_batches(batch_size=None, prefetch_batches=0):
        for row in zip(*batch.values(), strict=True):
            values = dict(zip(batch, row, strict=True))
            error, trace = str(values.pop("error")), str(values.pop("trace"))
            if error:
                raise InputError(error)
            if trace:
                raise RuntimeError(f"a worker failed:\n{trace}")
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
            f"the cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs: no "
            f"room for a worker of {cluster.cpus} CPUs and {cluster.gpus:g} GPUs"
        )
    if cluster.workers is not None and cluster.workers > room:
        log.warning(
            "the cluster has room for %d of the %d workers: the others wait until it grows",
            room,
            cluster.workers,
        )
    return cluster.workers or room
