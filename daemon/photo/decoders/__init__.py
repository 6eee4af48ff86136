"""Decoders, one module for each library or kind of file; `photo.formats` says which is for what.

Each has `decode`, as `photo.decoded.Decode` describes it. Only a process that works on pixels
imports them.
"""
