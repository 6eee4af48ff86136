"""Writers, one module for each format; `photo.outputs` says which is for what.

Each has `write`, as `photo.outputs.Write` describes it.
"""
