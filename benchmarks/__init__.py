"""Speed and memory against a plain scan: `python -m benchmarks`."""
