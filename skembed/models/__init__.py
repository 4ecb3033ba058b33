"""Find the files of a model, check them, and load its network.

Imports only `exceptions`, `_config` and `base`.
"""
