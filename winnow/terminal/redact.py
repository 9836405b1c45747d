"""Find secrets in parameters, and redact them in everything that is printed, logged or stored.

Secrets belong in the environment, never in a parameter; this catches those that end up elsewhere.
"""

import os
import re
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

BLOT = "***"
# A name with a password, at any scheme; on the web a name alone can be a token. ssh://git@host is neither.
USER = re.compile(r"(?P<scheme>https?://|[a-z][a-z0-9+.-]*://(?=[^\s/\"\\]*:[^\s/\"\\]*@))[^\s/\"\\]+@", re.IGNORECASE)
SIGNED = (
    r"(?:(?:[a-z0-9]+[_-])*(?:signature|credential|token|key|secret|password|passwd|pwd|passphrase)"
    r"|sig|awsaccesskeyid|googleaccessid|(?:access|auth|api|account)(?:token|key)|auth|code)"
)
QUERY = re.compile(rf"(?P<name>(?:[?&;#]|\b(?=Account)){SIGNED}=)[^\s&;#\"'<>\\]+", re.IGNORECASE)
# How HTTP carries a login: no word has digits in it, or ends in "=".
HEADER = re.compile(r"\b(?P<kind>Basic|Bearer) +(?=\S*[0-9=])[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE)
KEY = re.compile(rf"^{SIGNED}$", re.IGNORECASE)
VARIABLE = re.compile(
    r"(PASSWORD|PASSWD|_PASS|PASSPHRASE|SECRET|TOKEN|_PAT|AUTH_STRING|API_KEY|ACCESS_KEY|PRIVATE_KEY|SECRET_KEY|ACCOUNT_KEY"
    r"|STORAGE_KEY|CONNECTION_STRING|WEBHOOK)(_ID)?$"
)
SHORTEST = 6  # characters of a variable's value that is blotted out: shorter ones are words


def redact(text: str) -> str:
    """Text without passwords and signatures in URLs, and without what this process's environment names as a secret."""
    for value in _of_environment():  # first, since a value may be an address whose parts are blotted out below
        text = text.replace(value, BLOT)
    text = QUERY.sub(rf"\g<name>{BLOT}", USER.sub(rf"\g<scheme>{BLOT}@", text))
    return HEADER.sub(rf"\g<kind> {BLOT}", text)


def _of_environment() -> list[str]:
    """The values of variables that are named for secrets, the longest first."""
    given = {value for name, value in os.environ.items() if VARIABLE.search(name.upper())}
    named = given | {spell(value, safe="") for value in given for spell in (quote, quote_plus)}  # as URLs hold them
    return sorted((value for value in named if len(value) >= SHORTEST), key=len, reverse=True)


def secret_in(url: str) -> str | None:
    """Describe the secret in a URL; None if there is none, or if it is not a URL."""
    if "://" not in url:
        return None
    if USER.search(url):
        return "a name or password before the host"
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query.replace(";", "&")) + parse_qsl(parts.fragment)
    keys = [key for key, value in pairs if value and KEY.match(key)]
    return f"the value of {keys[0]}" if keys else None
