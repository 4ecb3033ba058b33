"""What is wrong with a row that should be a text, and how to correct it."""

import os

from skembed.base._rows import describe

# Reads halves of a pair that stand together as one character, and replaces single ones.
HALF_A_PAIR = (
    "str with half a surrogate pair; replace it with "
    'row.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
)
_REMEDIES = {
    (bytes, bytearray): "decode it with row.decode()",
    memoryview: "decode it with bytes(row).decode()",
    os.PathLike: "read the file with row.read_text()",
}


def text_problem(row):
    """Return what is wrong with a row that should be a text; None if nothing is.

    Examples
    --------
    >>> text_problem("a"), text_problem(None), text_problem(b"a")
    (None, 'None', 'bytes; decode it with row.decode()')
    >>> print(text_problem(["a", "b"]))
    list of words; join them with " ".join(row)
    """
    if isinstance(row, str):
        return HALF_A_PAIR if _has_half_a_pair(row) else None
    what = describe(row)
    for kinds, remedy in _REMEDIES.items():
        if isinstance(row, kinds):
            return f"{what}; {remedy}"
    is_words = isinstance(row, (list, tuple)) or getattr(row, "ndim", 0) == 1
    if is_words and all(isinstance(word, str) for word in row):
        return f'{what} of words; join them with " ".join(row)'
    return what


def _has_half_a_pair(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
