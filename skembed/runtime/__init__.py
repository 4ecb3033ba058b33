"""Running a network: torch, ONNX Runtime; export with its parity gate; batches and threads.

Imports only the lowest layer (`exceptions`, `_config`, `_optional`).
"""
