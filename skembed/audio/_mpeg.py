"""The part of an MPEG audio file (MP3) that holds its frames: without tags, padding and junk.

libmpg123 finds the frames by itself, but only for a file whose name ends in ".mp3", and it writes
to the standard error stream about everything else that it finds. Imports nothing.
"""

# Kilobits a second by (whether it is MPEG 1, layer), in the order of the header's bit rate index.
_KILOBITS = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)  # Hz, of MPEG 1
_DIVISORS = {3: 1, 2: 2, 0: 4}  # of these rates, by the header's version: MPEG 1, 2, 2.5
# Bits of a header that all frames of a file share: sync, version, layer, rate.
_SHARED = 0xFFFE0C00
_FURTHEST = 1 << 16  # bytes of junk that libmpg123 skips at most
_ID3_HEADER = 10  # bytes
_SHORTEST_TAG = 12  # bytes; libsndfile does not find what follows a shorter one


def skip_id3(content):
    """Return where the content begins behind all ID3v2 tags at its start.

    Examples
    --------
    >>> skip_id3(b"ID3" + bytes([4, 0, 0, 0, 0, 0, 2]) + b"..fLaC")
    12
    """
    start = 0
    while content[start : start + 3] == b"ID3" and len(content) >= start + _ID3_HEADER:
        flags, *size = content[start + 5 : start + _ID3_HEADER]
        n_bytes = sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(size))
        start += _ID3_HEADER + n_bytes + (_ID3_HEADER if flags & 0x10 else 0)
    return min(start, len(content))


def _header(content, position):
    return int.from_bytes(content[position : position + 4], "big")


def frame_length(header):
    """Return the length of a frame by its header; 0 if the header is none, or does not say.

    Parameters
    ----------
    header : int
        The frame's first four bytes.

    Returns
    -------
    n_bytes : int

    Examples
    --------
    >>> frame_length(0xFFFB9064), frame_length(0x52494646)
    (417, 0)
    """
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    rate, bits = header >> 10 & 3, header >> 12 & 15
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or rate == 3 or bits in (0, 15):
        return 0
    bits_a_second = 1000 * _KILOBITS[version == 3, layer][bits - 1]
    rate = _RATES[rate] // _DIVISORS[version]
    padding = header >> 9 & 1
    if layer == 1:
        return 4 * (12 * bits_a_second // rate + padding)
    samples = 72 if layer == 3 and version != 3 else 144
    return samples * bits_a_second // rate + padding


def find_frame(content, start, n_frames=3):
    """Return the position of the first of `n_frames` frames in a row from `start` on, or None.

    There may be fewer where the content ends, and two are enough at `start` itself.
    """
    stop = min(len(content), start + _FURTHEST)
    position = content.find(b"\xff", start, stop)
    while position >= 0:
        if _are_frames(content, position, 2 if position == start else n_frames):
            return position
        position = content.find(b"\xff", position + 1, stop)
    return None


def _are_frames(content, position, n_frames):
    first = _header(content, position)
    for n_found in range(n_frames):
        header = _header(content, position)
        n_bytes = frame_length(header)
        if not n_bytes or (header ^ first) & _SHARED:
            return False
        position += n_bytes
        if position >= len(content):  # a cut frame proves nothing by itself
            return position == len(content) or n_found > 0
    return True


def end_of_frames(content, start):
    """Return where the frames that begin at `start` end.

    If there are more frames behind junk, that is the end of the content: libmpg123 goes on there.
    """
    first = _header(content, start)
    position = start
    while position + 4 <= len(content):
        header = _header(content, position)
        n_bytes = frame_length(header)
        if not n_bytes or (header ^ first) & _SHARED:
            break
        position += n_bytes
    if position == start or find_frame(content, position, n_frames=2) is not None:
        return len(content)
    return min(position, len(content))


def clean_mpeg(content):
    """Replace all but the frames of an MPEG file by one empty tag in front of them.

    The length stays as it is: where no header says how many samples there are, libmpg123 estimates
    their number by the file's length, and libsndfile reads no more than that.

    Parameters
    ----------
    content : bytes
        The file.

    Returns
    -------
    file : bytes or None
        None if there are no frames near the start.
    """
    start = find_frame(content, skip_id3(content))
    if start is None:
        return None
    stop = end_of_frames(content, start)
    if start == 0 and len(content) - stop < _SHORTEST_TAG:
        return _with_length(content)
    frames = content[start:stop]
    tag = _empty_tag(max(len(content) - len(frames), _SHORTEST_TAG))
    return tag + _with_length(frames)


def _empty_tag(n_bytes):
    """Return an ID3v2.3 tag of `n_bytes` that holds padding only."""
    n_bytes -= _ID3_HEADER
    size = bytes(n_bytes >> 7 * i & 0x7F for i in (3, 2, 1, 0))
    return b"ID3\x03\x00\x00" + size + bytes(n_bytes)


def _with_length(frames):
    """Correct the number of bytes in the frames' Xing header, which counts tags for some writers.

    It is used for seeking only, and libmpg123 writes to the standard error stream if it is wrong.
    """
    for name in (b"Xing", b"Info"):
        position = frames.find(name, 13, 48)
        flags = _header(frames, position + 4)
        if position < 0 or not flags & 2:
            continue
        position += 12 if flags & 1 else 8
        return frames[:position] + len(frames).to_bytes(4, "big") + frames[position + 4 :]
    return frames
