"""Attention as one operator of ONNX Runtime, for exports.

Imports torch and transformers, and so imported only when a network is loaded.
"""

import torch
import transformers

try:
    from transformers.masking_utils import bidirectional_mask_function, eager_mask
except ImportError:  # not part of transformers' interface: another version may lack them
    bidirectional_mask_function = eager_mask = None

# The name under which transformers finds it.
FUSED = "skembed_fused"


def _attention(module, query, key, value, attention_mask, scaling=None, **kwargs):
    """Stand for MultiHeadAttention in a graph: cannot be computed, only exported.

    Takes (n_rows, n_heads, n_tokens, n_dims) each, as transformers' own functions do.
    """
    n_rows, n_heads, n_tokens, n_dims = query.shape
    n_shared = n_heads // key.shape[1]  # queries that share a key
    if n_shared > 1:
        key, value = (states.repeat_interleave(n_shared, dim=1) for states in (key, value))
    flat = [states.transpose(1, 2).flatten(2) for states in (query, key, value)]
    output = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        (*flat, None, None, attention_mask),
        {"num_heads": n_heads, "scale": float(n_dims**-0.5 if scaling is None else scaling)},
        dtype=query.dtype,
        shape=(n_rows, n_tokens, n_heads * value.shape[-1]),
        version=1,
    )
    return output.unflatten(2, (n_heads, -1)), None


def _mask(*, mask_function, local_size=None, attention_mask=None, **kwargs):
    """Return no mask where every token sees every other: rows are never padded."""
    everything = mask_function is bidirectional_mask_function and local_size is None
    if everything and attention_mask is None:
        return None
    return eager_mask(
        mask_function=mask_function, local_size=local_size, attention_mask=attention_mask, **kwargs
    )


def _register():
    """Make the operator known to transformers; return whether it can be used."""
    if eager_mask is None:
        return False
    try:
        transformers.AttentionInterface.register(FUSED, _attention)
        transformers.AttentionMaskInterface.register(FUSED, _mask)
    except AttributeError:
        return False
    return True


# How attention may be written into a graph, the fastest first.
ATTENTIONS = (FUSED, "eager") if _register() else ("eager",)
