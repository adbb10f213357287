"""Benchmark splits, the run over them, scores."""
