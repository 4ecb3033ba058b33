"""Extract the frames of an MPEG audio file (MP3), without tags, padding and junk.

libmpg123 searches for frames only if the file name ends in ".mp3". It also writes messages about
other content to the standard error stream. Imports nothing.
"""

# (is MPEG 1, layer) -> kilobits per second, in the order of the header's bit rate index from 1 on.
_KILOBITS = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)  # Hz, of MPEG 1
_DIVISORS = {3: 1, 2: 2, 0: 4}  # version in the header (MPEG 1, 2, 2.5) -> divisor of the rates
# Bits of the header that are equal in all frames of a file: sync, version, layer, rate.
_SHARED = 0xFFFE0C00
_MAX_JUNK = 1 << 16  # bytes that libmpg123 skips at most
_ID3_HEADER = 10  # bytes
_MIN_TAG = 12  # bytes; libsndfile does not find frames after a shorter tag


def skip_id3(content):
    """Return the position after all ID3v2 tags at the start of a file.

    A tag has a header of ten bytes. The last four contain its size, seven bits in each byte. A flag
    states that a footer of ten bytes follows.

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
    """Return the length of a frame in bytes; 0 if the header is invalid or states no bit rate.

    Parameters
    ----------
    header : int
        The first four bytes of the frame.

    Returns
    -------
    n_bytes : int

    Examples
    --------
    >>> frame_length(0xFFFB9064), frame_length(0x52494646)
    (417, 0)
    """
    # The fields of the header, from the highest bit: 11 of sync, 2 of version, 2 of layer, 1 of
    # protection, 4 of bit rate, 2 of rate, 1 of padding.
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    rate, bits = header >> 10 & 3, header >> 12 & 15
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or rate == 3 or bits in (0, 15):
        return 0
    bits_per_second = 1000 * _KILOBITS[version == 3, layer][bits - 1]
    rate = _RATES[rate] // _DIVISORS[version]
    padding = header >> 9 & 1
    # A frame has 384 samples in layer 1, and 1152 in layers 2 and 3; 576 in layer 3 of MPEG 2. Its
    # bytes are samples / 8 * bit rate / rate. Layer 1 counts in slots of four bytes.
    if layer == 1:
        return 4 * (12 * bits_per_second // rate + padding)
    eighth = 72 if layer == 3 and version != 3 else 144
    return eighth * bits_per_second // rate + padding


def find_frame(content, start, n_frames=3):
    """Return the position of the first frame from `start` on; None if there is none.

    A sync pattern of 11 bits occurs in any data by chance. A position is accepted only if
    `n_frames` headers follow each other at the right distances. Two suffice at `start` itself, and
    fewer at the end of the content.
    """
    stop = min(len(content), start + _MAX_JUNK)
    position = content.find(b"\xff", start, stop)
    while position >= 0:
        if _are_frames(content, position, 2 if position == start else n_frames):
            return position
        position = content.find(b"\xff", position + 1, stop)
    return None


def _are_frames(content, position, n_frames):
    """Tell whether frames of one file follow each other at a position."""
    first = _header(content, position)
    for n_found in range(n_frames):
        header = _header(content, position)
        n_bytes = frame_length(header)
        if not n_bytes or (header ^ first) & _SHARED:
            return False
        position += n_bytes
        if position >= len(content):  # a single frame that is cut is no evidence
            return position == len(content) or n_found > 0
    return True


def end_of_frames(content, start):
    """Return the end of the frames that begin at `start`.

    If more frames follow after junk, this is the end of the content, because libmpg123 resumes
    there.
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
    """Replace everything except the frames of an MPEG file with one empty tag before them.

    The length of the file does not change. If no header states the number of samples, libmpg123
    estimates it from this length, and libsndfile reads no more samples.

    Parameters
    ----------
    content : bytes
        The content of the file.

    Returns
    -------
    cleaned : bytes or None
        None if there are no frames near the start.
    """
    start = find_frame(content, skip_id3(content))
    if start is None:
        return None
    stop = end_of_frames(content, start)
    if start == 0 and len(content) - stop < _MIN_TAG:
        return _with_length(content)
    frames = content[start:stop]
    tag = _empty_tag(max(len(content) - len(frames), _MIN_TAG))
    return tag + _with_length(frames)


def _empty_tag(n_bytes):
    """Return an ID3v2.3 tag of `n_bytes` bytes that contains only padding."""
    n_bytes -= _ID3_HEADER
    size = bytes(n_bytes >> 7 * i & 0x7F for i in (3, 2, 1, 0))
    return b"ID3\x03\x00\x00" + size + bytes(n_bytes)


def _with_length(frames):
    """Correct the number of bytes in the Xing header of the first frame.

    Some encoders count tags, too. The number is used only for seeking, but libmpg123 writes to the
    standard error stream if it is wrong.
    """
    for name in (b"Xing", b"Info"):
        # The header follows the side information, whose length depends on version and channels.
        position = frames.find(name, 13, 48)
        flags = _header(frames, position + 4)
        if position < 0 or not flags & 2:
            continue
        position += 12 if flags & 1 else 8  # the number of frames is optional
        return frames[:position] + len(frames).to_bytes(4, "big") + frames[position + 4 :]
    return frames
