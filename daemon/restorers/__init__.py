"""Restorers: one generator of model calls for each kind of step, each reading like its paper."""
