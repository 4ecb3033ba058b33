"""Why a row is not a text, and how to correct it. Imports `_rows`."""

import os

from skembed.base._rows import describe

# The remedy joins the two surrogates of a pair to one character, and replaces lone ones.
LONE_SURROGATE = (
    "str with a lone surrogate; replace it with "
    'row.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
)
_REMEDIES = {
    (bytes, bytearray): "decode it with row.decode()",
    memoryview: "decode it with bytes(row).decode()",
    os.PathLike: "read the file with row.read_text()",
}


def text_problem(row):
    """Return why a row is not a text; None if it is one.

    Examples
    --------
    >>> text_problem("a"), text_problem(None), text_problem(b"a")
    (None, 'None', 'bytes; decode it with row.decode()')
    >>> print(text_problem(["a", "b"]))
    list of words; join them with " ".join(row)
    """
    if isinstance(row, str):
        return LONE_SURROGATE if has_lone_surrogate(row) else None
    description = describe(row)
    for kinds, remedy in _REMEDIES.items():
        if isinstance(row, kinds):
            return f"{description}; {remedy}"
    is_words = isinstance(row, (list, tuple)) or getattr(row, "ndim", 0) == 1
    if is_words and all(isinstance(word, str) for word in row):
        return f'{description} of words; join them with " ".join(row)'
    return description


def has_lone_surrogate(text):
    r"""Tell whether a str contains a surrogate code point, which UTF-8 cannot encode.

    Examples
    --------
    >>> has_lone_surrogate("\ud83d"), has_lone_surrogate("\U0001f600")
    (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
