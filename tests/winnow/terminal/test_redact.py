"""Secrets in URLs are found and blotted out, and what only looks like one is left."""

import pytest

from winnow.terminal.redact import redact, secret_in


@pytest.mark.parametrize(
    ("url", "left", "what"),
    [
        ("https://me:p@ss'w@host/x", "https://***@host/x", "a name or password before the host"),
        ("https://ghp_token@host/x", "https://***@host/x", "a name or password before the host"),
        ("simplecache::https://a:b@host", "simplecache::https://***@host", "a name or password before the host"),
        ("postgresql+psycopg://u:p@host/db", "postgresql+psycopg://***@host/db", "a name or password before the host"),
        (
            "https://h/x?y=1&X-Amz-Signature=ab%2F",
            "https://h/x?y=1&X-Amz-Signature=***",
            "the value of X-Amz-Signature",
        ),
        ("https://h/x#access_token=ab", "https://h/x#access_token=***", "the value of access_token"),
        ("https://h/x?client_secret=ab", "https://h/x?client_secret=***", "the value of client_secret"),
        ("https://h/x?a=1;private_token=ab", "https://h/x?a=1;private_token=***", "the value of private_token"),
        (
            "https://h/x?aws_secret_access_key=a",
            "https://h/x?aws_secret_access_key=***",
            "the value of aws_secret_access_key",
        ),
        ("https://h/x?sv=2&sig=ab", "https://h/x?sv=2&sig=***", "the value of sig"),
        ("https://h/x?token=ab#top", "https://h/x?token=***#top", "the value of token"),
    ],
)
def test_what_lets_others_in_is_found_and_blotted_out(url: str, left: str, what: str) -> None:
    assert (redact(f"see {url} there"), secret_in(url)) == (f"see {left} there", what)


@pytest.mark.parametrize(
    "url",
    ["ssh://git@host/x", "s3://bucket/a@b", "https://h/x?page=2&design=blue", "me:pass@host", "data/sample", "C:\\x@y"],
)
def test_other_text_is_left(url: str) -> None:
    assert (redact(url), secret_in(url)) == (url, None)


def test_what_the_environment_names_as_a_secret_is_blotted_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wJalrXUtnFEMI/longer")
    monkeypatch.setenv("SHORT_TOKEN", "the")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=me;AccountKey=4242abcd==")
    monkeypatch.setenv("GITHUB_PAT", "p@ss/w0rd x")
    assert redact("AccountName=me;AccountKey=4242abcd==") == "***"
    assert redact("p@ss/w0rd x, p%40ss%2Fw0rd%20x and p%40ss%2Fw0rd+x") == "***, *** and ***"
    assert redact("the key wJalrXUtnFEMI, and wJalrXUtnFEMI/longer") == "the key ***, and ***"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("{'Authorization': 'Basic dTpwdzQyNDI='}", "{'Authorization': 'Basic ***'}"),
        ("Authorization: Bearer eyJhbGci.9-_x", "Authorization: Bearer ***"),
        ("AccountKey=QUJD4242==;EndpointSuffix=x", "AccountKey=***;EndpointSuffix=x"),
        ("basic authentication is readable on its way", "basic authentication is readable on its way"),
    ],
)
def test_logins_as_http_and_azure_carry_them_are_blotted_out(text: str, left: str) -> None:
    assert redact(text) == left
