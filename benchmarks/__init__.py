"""Measurements behind the claims in docs/; each is `python -m benchmarks.<name>`."""

from winnow.run import environment

environment.prepare()  # as the programs that are measured do
