"""Problems of rows that should be texts, and their remedies."""

import os

from skembed.base._rows import describe

# The remedy joins two adjacent halves to one character, and replaces single halves.
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
    """Describe the problem of a row that should be a text; return None if there is none.

    Examples
    --------
    >>> text_problem("a"), text_problem(None), text_problem(b"a")
    (None, 'None', 'bytes; decode it with row.decode()')
    >>> print(text_problem(["a", "b"]))
    list of words; join them with " ".join(row)
    """
    if isinstance(row, str):
        return HALF_A_PAIR if _has_half_a_pair(row) else None
    description = describe(row)
    for kinds, remedy in _REMEDIES.items():
        if isinstance(row, kinds):
            return f"{description}; {remedy}"
    is_words = isinstance(row, (list, tuple)) or getattr(row, "ndim", 0) == 1
    if is_words and all(isinstance(word, str) for word in row):
        return f'{description} of words; join them with " ".join(row)'
    return description


def _has_half_a_pair(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
