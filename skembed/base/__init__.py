"""The base layer: containers and rows, files, digests, optional imports, threads, shared objects.

Imports only `_config` and `exceptions`.
"""
