"""Secrets in URLs are masked, as far as a person may have written them, and nothing else is."""

import json

import pytest

from skline.redaction import redact


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://me:hun/ter2@db/x", "postgresql://me:***@db/x"),
        ("postgresql://me:hun@ter2@db/x", "postgresql://me:***@db/x"),
        ("postgresql://db/x?user=me&sslpassword=hunter2&a=b", "postgresql://db/x?user=me&sslpassword=***&a=b"),
        ("https://store/x.csv?sv=1&sig=hunter2", "https://store/x.csv?sv=1&sig=***"),
        ("s3 https://b/x?X-Amz-Signature=hunter2#y", "s3 https://b/x?X-Amz-Signature=***#y"),
        ("http://db:5432/x?design=1", "http://db:5432/x?design=1"),
    ],
)
def test_secrets_in_urls_are_redacted(text: str, masked: str) -> None:
    assert redact(text) == masked
    assert json.loads(redact(json.dumps({"a": text, "b": "@"}))) == {"a": masked, "b": "@"}
