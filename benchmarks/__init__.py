"""Benchmarks of novu-async beside its peers; run them with `scripts/bench`."""
