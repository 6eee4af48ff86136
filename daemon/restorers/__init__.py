"""Restorers: one generator for each kind of step, reading like its paper."""
