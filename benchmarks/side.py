"""Measure one side of one row in this process; prints a line of JSON. Started by `measure`."""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time

import torch


def main() -> None:
    case, side, arguments, warm_up, repeats = json.loads(sys.argv[1])
    module, _, function = case.rpartition(":")
    cases = importlib.import_module(f"benchmarks.{module or 'cases'}")
    run = getattr(cases, function)(side, *arguments)
    for _ in range(warm_up):
        run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if "cuda" in arguments:
        peak = torch.cuda.max_memory_allocated()
    print(json.dumps({"seconds": seconds, "peak": peak, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
