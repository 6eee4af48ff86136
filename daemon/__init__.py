"""restored: a daemon that restores photographs with diffusion models.

Two modules show the whole from the top: `service.daemon` is the loop of the parent process, and
`engine.engine` the event loop of the worker process that owns the device.
"""

__version__ = "0.1.0"
