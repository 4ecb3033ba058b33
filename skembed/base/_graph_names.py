"""Names that torch modules give to parts of an exported graph. Imports nothing of skembed."""

# The part of a network that preprocesses in the graph, before the backbone. The names of its
# weights start with this name and a dot.
STEM = "stem"
