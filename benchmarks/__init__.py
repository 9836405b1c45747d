"""Measurements behind the claims in docs/; each is `python -m benchmarks.<name>`."""
