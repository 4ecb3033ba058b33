"""Attention as a single operator of ONNX Runtime, for exports.

This module imports torch and transformers; it is imported only when a network is loaded.
"""

import torch
import transformers

try:
    from transformers.masking_utils import bidirectional_mask_function, eager_mask
except ImportError:  # they are not public, so other versions of transformers may not have them
    bidirectional_mask_function = eager_mask = None

# Name of the attention function in transformers.
FUSED = "skembed_fused"


def _attention(module, query, key, value, attention_mask, scaling=None, **kwargs):
    """Write the operator MultiHeadAttention into a graph; torch cannot compute it.

    `query`, `key` and `value` have the shape (n_rows, n_heads, n_tokens, n_dims), as in the
    attention functions of transformers.
    """
    n_rows, n_heads, n_tokens, n_dims = query.shape
    n_shared = n_heads // key.shape[1]  # query heads that share a key head
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
    """Return no mask if all tokens attend to each other, since rows are never padded."""
    bidirectional = mask_function is bidirectional_mask_function and local_size is None
    if bidirectional and attention_mask is None:
        return None
    return eager_mask(
        mask_function=mask_function, local_size=local_size, attention_mask=attention_mask, **kwargs
    )


def _register():
    """Register the operator in transformers; return whether this succeeded."""
    if eager_mask is None:
        return False
    try:
        transformers.AttentionInterface.register(FUSED, _attention)
        transformers.AttentionMaskInterface.register(FUSED, _mask)
    except AttributeError:
        return False
    return True


# Implementations of attention that can be exported, the fastest first.
ATTENTIONS = (FUSED, "eager") if _register() else ("eager",)
