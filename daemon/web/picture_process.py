"""The process that makes what a browser shows of photographs: it may hang or die of a file.

Any file may be looked at that a decoder reads, among them those that failed. What it shows is
upright, in sRGB and of 8 bits, whatever depth and profile the file has. Decoders are imported in
the process alone.
"""

from multiprocessing.connection import Connection

from daemon.photo import Limits
from daemon.system.helper_process import Ready, prepare_helper


def run_picture_process(pipe: Connection, limits: Limits, parent: int) -> None:
    """Answer questions until the parent ends; the main function of the process.

    Args:
        pipe: Connection to the parent.
        limits: Larger pictures are refused.
        parent: Process id of the parent.
    """
    prepare_helper(parent)
    serve(pipe, limits)


def serve(pipe: Connection, limits: Limits) -> None:
    """Answer questions that come through a pipe until it is closed."""
    from daemon.web.picture_drawing import PictureDrawer

    pictures = PictureDrawer(limits)
    try:
        pipe.send(Ready())
        while True:
            pipe.send(pictures.answer(pipe.recv()))
    except (EOFError, OSError):
        return
