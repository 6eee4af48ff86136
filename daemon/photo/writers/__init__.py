"""Writers, one module for each format; `photo.output_formats` says which is for what.

Each has `write`, as `photo.output_formats.Write` describes it.
"""
