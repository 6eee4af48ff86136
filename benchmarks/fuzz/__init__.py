"""A coverage-guided fuzzer for whatever the project reads that it did not write.

Importing this imports nothing: the process that fuzzes instruments the project as it imports it.
"""
