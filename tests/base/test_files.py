"""Files that rows name, and the reasons why one cannot be read."""

import pytest

from skembed.base._files import UnreadableRowError, content_of


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("file:///home/a%20b/photo.png", "a file URL; pass its path, /home/a b/photo.png"),
        ("file://localhost/photo.png", "a file URL; pass its path, /photo.png"),
        ("FILE:/photo.png", "a file URL; pass its path, /photo.png"),
        ("https://a.org/b.png", "a URL, https://a.org/b.png; download it first"),
        ("s3://bucket/b.png", "a URL, s3://bucket/b.png; download it first"),
        ("data:image/png;base64,iVBORw0KGgo=", "a data URL; decode it and pass the bytes"),
        (" ", "an empty path"),
    ],
)
def test_what_is_no_path_is_named_with_the_remedy(row, reason):
    with pytest.raises(UnreadableRowError) as raised:
        content_of(row, lambda start, size: None)
    assert str(raised.value) == reason
