"""Benchmarks: compare selection methods under various faults by training on what they keep."""
