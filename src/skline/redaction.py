"""Mask secrets in texts for people: log lines, error messages, and the settings in force."""

import re

from skline.api_keys import ID_DIGITS, PREFIX

#: Parameters of a URL that are secret: passwords, and the signatures and tokens of links to an object store.
_MASKED_PARAMETERS = (
    r"(?:ssl)?password|secret|sig|signature|x-amz-signature|x-goog-signature|(?:access_?)?token|api_?key"
)
#: Forms of secrets: a text that every line with the pattern contains, which is fast to test; pattern; replacement.
_SECRETS = (
    (PREFIX, re.compile(rf"({PREFIX}[0-9a-f]{{{ID_DIGITS}}}_)[0-9a-f]+"), r"\1***"),
    ("bearer", re.compile(r"(bearer\s+)[A-Za-z0-9._~+/=\-]{8,}", re.IGNORECASE), r"\1***"),
    ("basic", re.compile(r"(basic\s+)[A-Za-z0-9._~+/=\-]{8,}", re.IGNORECASE), r"\1***"),
    # Up to the last @ of the address: a password that is not percent-encoded may hold @ and /.
    ("://", re.compile(r'(://[^/\s:@"]*:)[^\s"]+@'), r"\1***@"),
    ("=", re.compile(rf'([?&](?:{_MASKED_PARAMETERS})=)[^&#\s"]+', re.IGNORECASE), r"\1***"),
)


def redact(text: str) -> str:
    """Mask API keys, credentials of Authorization headers, and passwords, signatures and tokens in URLs."""
    lowered = text.lower()
    for marker, pattern, replacement in _SECRETS:
        if marker in lowered:
            text = pattern.sub(replacement, text)
    return text
