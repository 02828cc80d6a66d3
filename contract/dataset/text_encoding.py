"""Conversion of text in any encoding to UTF-8, in steps.

A byte that cannot be decoded becomes three bytes that are not UTF-8, so that readers find its row.
"""

import codecs
import re

_UNSUITABLE = frozenset(
    {"charmap", "idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)
"""Encodings of Python that are not encodings of files, or depend on the machine."""
_ERRORS = "fleetscore.undecodable"
_FIRST_SURROGATE = 0xDC00
_SURROGATE = re.compile("[\udc00-\udcff]")


def is_supported(encoding: str) -> bool:
    """Tell whether objects can be read in this encoding of Python.

    >>> is_supported("cp1252"), is_supported("base64"), is_supported("utf-7")
    (True, False, False)
    """
    try:
        found = codecs.lookup(encoding)
    except (LookupError, ValueError):
        return False
    # The registry of codecs marks those that convert between text and bytes only with this name.
    is_text: bool = getattr(found, "_is_text_encoding", False)
    return is_text and found.incrementaldecoder is not None and found.name.replace("_", "-") not in _UNSUITABLE


def is_utf8(encoding: str) -> bool:
    """Tell whether text in this encoding needs no conversion.

    >>> is_utf8("UTF8"), is_utf8("ascii")
    (True, False)
    """
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


class Transcoder:
    """Converts text to UTF-8, piece by piece.

    >>> Transcoder("cp1252").convert("é".encode("cp1252"), is_last=True)
    b'\\xc3\\xa9'
    """

    def __init__(self, encoding: str) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)(_ERRORS)

    def convert(self, data: bytes, *, is_last: bool) -> bytes:
        """Return the next piece in UTF-8."""
        return self._decoder.decode(data, is_last).encode("utf-8", "surrogatepass")


def to_utf8(data: bytes, encoding: str, *, whole: bool) -> bytes:
    """Return the beginning of a text in UTF-8, all of it if `whole`."""
    return data if is_utf8(encoding) else Transcoder(encoding).convert(data, is_last=whole)


def readable(data: bytes) -> str:
    """Return text with each byte that cannot be decoded, and each NUL, as an escape.

    >>> readable(b"caf\\xe9"), readable(Transcoder("ascii").convert(b"caf\\xe9", is_last=True))
    ('caf\\\\xe9', 'caf\\\\xe9')
    """
    try:
        # Bytes that a transcoder could not decode are surrogates.
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "backslashreplace")
    text = _SURROGATE.sub(lambda found: f"\\x{ord(found[0]) - _FIRST_SURROGATE:02x}", text)
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_FIRST_SURROGATE + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ERRORS, _mark_undecodable)
