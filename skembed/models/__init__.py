"""Where a network comes from: hub id, folder, .onnx file, packaged copy; loaded once a process.

Imports only the lowest layer (`exceptions`, `_config`, `_optional`).
"""
