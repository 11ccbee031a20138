"""Every performance claim, as a command: `python -m benchmarks.NAME`; the convention is in `benchmarks.harness`."""
