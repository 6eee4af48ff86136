"""Mathematics of diffusion: angles, steps, samplers, noise, tiles; knows no file and no model."""
