"""From parameters to a network that is ready to run.

Imports `_version`, `base`, `exceptions`, `models` and `runtime`.
"""
