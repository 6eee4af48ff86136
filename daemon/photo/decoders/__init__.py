"""Decoders, one module for each library or kind of file, as `photo.input_formats` names them.

Each has `decode`, as `photo.decoded.Decode` describes it. Only a process that works on pixels
imports them.
"""
