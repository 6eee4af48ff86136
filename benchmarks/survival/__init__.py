"""Survival: random work, random faults and hostile input, and what must hold whatever happens.

`python -m benchmarks.survival --minutes 10` runs it; `__main__` says how.
"""
