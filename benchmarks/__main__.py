"""`python -m benchmarks [--json FILE] [--only NAME]`: measure, print the table, write JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.gpu import run_gpu
from benchmarks.rows import all_rows, measure


def main(arguments: list[str] | None = None) -> int:
    """Run the rows asked for; 1 if no row has the name, or one failed, which the others survive."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="rows whose name is NAME or starts with NAME/ (may be repeated)",
    )
    parser.add_argument("--list", action="store_true", help="print the rows' names")
    parser.add_argument(
        "--device",
        help="check and measure the detectors on this device (cuda, cpu …) instead of the rows",
    )
    parser.add_argument(
        "--quick", action="store_true", help="with --device: small models, to try the way"
    )
    options = parser.parse_args(arguments)
    if options.device:
        return run_gpu(options.device, options.quick, options.json)
    rows = all_rows()
    if options.list:
        print("\n".join(row.name for row in rows))
        return 0
    if options.only:
        wanted = tuple(options.only)
        prefixes = tuple(f"{name}/" for name in wanted)
        rows = [row for row in rows if row.name in wanted or row.name.startswith(prefixes)]
        if not rows:
            print(f"no row {' or '.join(wanted)}; --list names them", file=sys.stderr)
            return 1
    results: list[dict[str, Any]] = []
    missing: list[str] = []
    with tqdm(rows, unit="row", disable=None) as progress:
        for row in progress:
            progress.set_postfix_str(row.name)
            try:
                results.append(measure(row))
            except RuntimeError as error:  # a peer that is not installed, say: the other rows go on
                missing.append(str(error))
                progress.write(f"left out: {missing[-1]}")
                continue
            progress.write(line(results[-1]))
            if options.json:
                write_json(options.json, results)
    if results:
        print(f"\n{conditions(results)}\n\n{table(results)}")
    return int(bool(missing))


def line(result: dict[str, Any]) -> str:
    seconds = result["seconds"]
    return (
        f"{result['name']}: {seconds['ours']:.4g} s against {seconds['baseline']:.4g} s, "
        f"{result['ratio']:.2f}×"
    )


def conditions(results: list[dict[str, Any]]) -> str:
    """What the figures were measured with."""
    threads = sorted({result["threads"] for result in results})
    return (
        f"torch {torch.__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} CPUs, {'/'.join(map(str, threads))} threads, load "
        f"{os.getloadavg()[0]:.1f}"
        + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "")
    )


def table(results: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table; times in seconds, peak memory in GiB."""
    heads = ["row", "baseline", "ratio", "target", "s", "s (baseline)"]
    heads += ["GiB", "GiB (baseline)", "memory", "allocator", "met"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for result in results:
        seconds, peak = result["seconds"], result["peak_memory"]
        target, fraction = result["target"], result["memory_target"]
        wanted = "" if target is None else f"≥ {target:.2g}"
        cells = [
            result["name"],
            result["baseline"],
            f"{result['ratio']:.2f}",
            wanted if fraction is None else f"{wanted}, ≤ {fraction:.0%} memory",
            f"{seconds['ours']:.4g}",
            f"{seconds['baseline']:.4g}",
            f"{peak['ours'] / 2**30:.2f}",
            f"{peak['baseline'] / 2**30:.2f}",
            f"{result['memory_ratio']:.0%}",
            result["allocator"],
            {None: "", True: "yes", False: "no"}[result["met"]],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_json(path: Path, results: list[dict[str, Any]]) -> None:
    content = {"conditions": conditions(results), "rows": results}
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
