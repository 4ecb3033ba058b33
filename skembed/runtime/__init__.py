"""Run networks with torch or ONNX Runtime; export them, and compare the export with torch.

Imports only `base` and `exceptions`.
"""
