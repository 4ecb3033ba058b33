"""Kinds of files that are often passed for images or sounds. Imports nothing of skembed."""

# First bytes, in lower case -> what the file is.
_KINDS = {
    b"<?xml": "an XML document",
    b"<!doctype": "an HTML page",
    b"<html": "an HTML page",
    b"%pdf": "a PDF document",
    b"pk\x03\x04": "a zip archive",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file with git lfs pull",
}


def kind_of_file(start, others=None):
    """Return what a file is that is neither an image nor a sound, by its first bytes.

    Parameters
    ----------
    start : bytes
        The first bytes of the file.
    others : dict of bytes to str, default=None
        Further kinds, by their first bytes in lower case. They take precedence.

    Returns
    -------
    kind : str or None
        None: the kind is unknown.

    Examples
    --------
    >>> kind_of_file(b"<!DOCTYPE html>")
    'an HTML page'
    """
    # Text files may begin with a byte order mark and blanks.
    start = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kinds = (*(others or {}).items(), *_KINDS.items())
    return next((kind for magic, kind in kinds if start.startswith(magic)), None)
