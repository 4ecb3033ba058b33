"""The ground floor: containers to rows, files, digests, optional imports, threads, shared objects.

Imports only `_config` and `exceptions`.
"""
