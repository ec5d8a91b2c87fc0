"""Time and memory against a baseline in the same run: `python -m benchmarks`."""
