"""Speed and memory of dxforge beside its peers: ``python -m benchmarks``."""
