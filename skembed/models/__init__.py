"""Where a network comes from: hub id, folder, .onnx file, packaged copy; loaded once a process.

Imports only `_config`, `base` and `exceptions`.
"""
