"""Measures the engine on a CUDA device; `benchmarks.gpu.__main__` says what it needs."""
