"""Bias: what a model assumes about people, scored as the published benchmarks score it."""
