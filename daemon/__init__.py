"""restored: a daemon that restores photographs with diffusion models.

Two modules tell the story from the top: `service` is the daemon's loop in the parent process,
`engine` the event loop of the worker process that owns the device.
"""

__version__ = "0.1.0"
