"""The encoding of a text file: its byte order mark, UTF-8, or a code page."""

import codecs
import re
from typing import Any, NamedTuple

from skline.errors import SklineError

#: Bytes that are read at a time.
CHUNK_BYTES = 1 << 20
#: Share of NUL bytes at the beginning of a file in UTF-16: fewer are damage.
LEAST_NULS = 0.02
#: With at least so many valid letters of UTF-8 for each byte that is not, a file is UTF-8 with damage.
LETTERS_A_DAMAGED_BYTE = 4
#: Bytes that are letters in cp1250 and signs in cp1252, inside of a word or, some of them, at its beginning.
CENTRAL_EUROPEAN = re.compile(
    rb"[A-Za-z\xc0-\xff][\xa3\xa5\xaa\xaf\xb3\xb9\xba\xbc\xbe\xbf\x8d\x8f\x9d][a-z\xe0-\xff]"
    rb"|(?<![A-Za-z\x80-\xff])[\xa3\xa5\xaf][a-z\xe0-\xff]"
)
#: Letters of Turkish in cp1254 are letters of Icelandic in cp1252, which lacks the second and uses the third.
TURKISH, NOT_ICELANDIC, ICELANDIC = "ðýþÐÝÞ", "çüÇÜ", "áíúóæÁÍÚÓÆ"
#: Share of the bytes beyond ASCII that show a code page.
MIN_SIGNS = 0.05
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
#: Code pages that are tried on bytes that are not UTF-8.
CODE_PAGES = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "shift_jis", "gb18030", "big5", "euc_kr", "euc_jp"]


class Encoding(NamedTuple):
    """The encoding of a file, and what a person should know about it."""

    name: str
    remark: str | None = None


def text_codec(encoding: str) -> str:
    """Return the codec that decodes a text without its byte order mark."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def settle_encoding(data: Any, declared: str, name: str) -> Encoding:
    """Return the encoding of a file that is declared to have the encoding `declared`.

    A byte order mark takes precedence, and so does a text that is valid UTF-8 with other letters than ASCII: no other
    encoding produces that by chance.

    Raises
    ------
    SklineError
        If the declared encoding is unknown, or UTF-8 and the file is not.
    """
    try:
        codec = codecs.lookup(declared).name
    except LookupError:
        raise SklineError(f"there is no encoding {declared!r}; common ones are utf-8, cp1252 and utf-16") from None
    data.seek(0)
    head = data.read(4)
    for mark, marked in MARKS:
        if head.startswith(mark):
            same = codec == codecs.lookup(marked).name or (marked == "utf-16" and codec.startswith("utf-16"))
            remark = None if same else f"{name} is read as {marked}, as its byte order mark says, not as {declared}"
            return Encoding(marked, remark)
    if codec in ("utf-8", "ascii"):
        return Encoding(declared)
    data.seek(0)
    if _utf8_error(data) is None and not _is_ascii(data):
        return Encoding("utf-8", f"{name} is read as utf-8: its letters are valid UTF-8, which {declared} never is")
    return Encoding(declared)


def describe_undecodable(data: Any, encoding: str, name: str) -> str:
    """Return an error message about bytes that are not in `encoding`, with the line and another encoding to try."""
    data.seek(0)
    line = 1
    for number, text in enumerate(data, 1):
        line = number
        try:
            text.decode(encoding)
        except UnicodeDecodeError as error:
            found = f"line {line} holds the byte 0x{text[error.start]:02x}, which {encoding} does not have there"
            data.seek(0)
            guess, _ = detect_encoding(data)
            advice = f"it looks like {guess}: " if guess != encoding else ""
            return f"{name} is not {encoding}: {found}; {advice}name the encoding with --encoding"
    return f"{name} is not {encoding}; name the encoding with --encoding"


def detect_encoding(data: Any) -> tuple[str, list[str]]:
    """Return the encoding of a binary stream, and remarks: by its byte order mark, else UTF-8, else a code page."""
    head = data.read(CHUNK_BYTES)
    for mark, name in MARKS:
        if head.startswith(mark):
            return name, []
    if (wide := _utf_16_without_mark(head[:1000])) is not None:
        return wide, [f"the file has no byte order mark; it is read as {wide}"]
    remarks = []
    if b"\0" in head:
        line = head[: head.index(b"\0")].count(b"\n") + 1
        remarks.append(f"line {line} holds a NUL byte, which text does not have: is the file damaged?")
    data.seek(0)
    undecodable = _utf8_error(data)
    if undecodable is None or _is_damaged_utf8(undecodable):
        return "utf-8", remarks  # its reader names the line that is not UTF-8
    name = guess_code_page(undecodable)
    return name, [*remarks, f"the file is not UTF-8; it is read as {name}: check accents and currency signs"]


def _utf_16_without_mark(head: bytes) -> str | None:
    """Return the form of UTF-16 in which every delimiter, digit and newline has a NUL byte at its side, or None."""
    low, high = head[::2].count(0), head[1::2].count(0)
    if low + high < LEAST_NULS * len(head) or min(low, high) > max(low, high) / 10:
        return None
    return "utf-16-le" if high >= low else "utf-16-be"


def _utf8_error(data: Any) -> bytes | None:
    """Return the first chunk that is not UTF-8, or None."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    chunk = last = b""
    try:
        while chunk := data.read(CHUNK_BYTES):
            last = chunk
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return last
    return None


def _is_damaged_utf8(sample: bytes) -> bool:
    """Whether nearly all letters of text that is not UTF-8 are: in a code page hardly any are, by chance."""
    valid = sample.decode("utf-8", errors="ignore")
    letters = len(valid) - len(valid.encode("ascii", errors="ignore"))
    return letters > LETTERS_A_DAMAGED_BYTE * (len(sample) - len(valid.encode()))


def _is_ascii(data: Any) -> bool:
    """Whether a stream has no other bytes than ASCII, and none that text has not."""
    data.seek(0)
    while chunk := data.read(CHUNK_BYTES):
        if b"\0" in chunk:
            return True  # not UTF-8 text, whatever it is
        if not chunk.isascii():
            return False
    return True


def guess_code_page(sample: bytes) -> str:
    """Guess the code page of text that is not UTF-8; latin-1 if the guess cannot decode a byte."""
    from charset_normalizer import from_bytes

    lines = [line for line in sample.splitlines() if any(byte > 127 for byte in line)]
    best = from_bytes(b"\n".join(lines[:2000]), cp_isolation=CODE_PAGES).best()
    name = "cp1252" if best is None else best.encoding
    # Letters of other scripts stand next to each other. Single accents and signs do not identify a code page; cp1252
    # is the most common one.
    foreign = sum(len(run) for run in re.findall(rb"[\x80-\xff]{3,}", sample))
    if name in ("cp1250", "cp1254") or foreign < 0.3 * sum(byte > 127 for byte in sample):
        name = _latin_code_page(sample)
    try:
        sample.decode(name)
    except UnicodeDecodeError:
        return "latin-1"
    return name


def _latin_code_page(sample: bytes) -> str:
    """Return the code page of text in Latin letters: cp1252, unless its letters are those of another one."""
    beyond = sum(byte > 127 for byte in sample)
    if len(CENTRAL_EUROPEAN.findall(sample)) > MIN_SIGNS * beyond:
        return "cp1250"
    letters = sample.decode("cp1252", errors="ignore")
    turkish = sum(letters.count(letter) for letter in TURKISH)
    if turkish > MIN_SIGNS * beyond and set(letters) & set(NOT_ICELANDIC) and not set(letters) & set(ICELANDIC):
        return "cp1254"
    return "cp1252"
