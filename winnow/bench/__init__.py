"""Benchmarks: what selection methods keep of a data set under various faults, and what that is worth for training."""
