"""Secrets in text: found in what is given as a parameter, and blotted out of what is printed, logged or kept.

A secret comes from the environment, never from a parameter; this is for those that get lost.
"""

import os
import re
from urllib.parse import parse_qsl, urlsplit

BLOT = "***"
# A name with a password, at any scheme; on the web a name alone can be a token. ssh://git@host is neither.
USER = re.compile(r"(?P<scheme>https?://|[a-z][a-z0-9+.-]*://(?=[^\s/\"\\]*:[^\s/\"\\]*@))[^\s/\"\\]+@", re.IGNORECASE)
SIGNED = (
    r"(?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|awsaccesskeyid|googleaccessid"
    r"|(?:access_?|auth_?|api_?)?(?:token|key)|password|passwd|pwd|secret|code)"
)
QUERY = re.compile(rf"(?P<name>[?&;]{SIGNED}=)[^\s&;#\"'<>\\]+", re.IGNORECASE)
KEY = re.compile(rf"^{SIGNED}$", re.IGNORECASE)
VARIABLE = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|AUTH_STRING|API_KEY|ACCESS_KEY|PRIVATE_KEY|WEBHOOK)(_ID)?$")
SHORTEST = 6  # characters of a variable's value that is blotted out: shorter ones are words


def redact(text: str) -> str:
    """Text without passwords and signatures in URLs, and without what this process's environment names as a secret."""
    text = QUERY.sub(rf"\g<name>{BLOT}", USER.sub(rf"\g<scheme>{BLOT}@", text))
    for value in _of_environment():
        text = text.replace(value, BLOT)
    return text


def _of_environment() -> list[str]:
    """The values of variables that are named for secrets, the longest first."""
    named = {value for name, value in os.environ.items() if VARIABLE.search(name.upper())}
    return sorted((value for value in named if len(value) >= SHORTEST), key=len, reverse=True)


def secret_in(url: str) -> str | None:
    """What in a URL is a secret, in words; None where nothing is, or it is no URL."""
    if "://" not in url:
        return None
    if USER.search(url):
        return "a name or password before the host"
    keys = [key for key, value in parse_qsl(urlsplit(url).query) if value and KEY.match(key)]
    return f"the value of {keys[0]}" if keys else None
