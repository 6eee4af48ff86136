"""Diffusion mathematics: time, steps, noise, tiles and the measurement of super-resolution."""
