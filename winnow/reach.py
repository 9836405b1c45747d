"""Check whether a server answers, without a long wait."""

import threading
from collections.abc import Callable, MutableMapping
from typing import TypeVar

import httpx

T = TypeVar("T")
HERE = ("127.0.0.1", "localhost")


def within(seconds: float, do: Callable[[], T]) -> T:
    """What `do` returns or raises.

    Raises:
        TimeoutError: it takes longer; it is left to itself then.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(do())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    return results[0]


def answers(url: str, seconds: float, method: str = "GET") -> bool:
    """Whether a web server is at `url`, whatever it says; a slow name server counts as none.

    A proxy is asked where the environment names one, but not for this machine.
    """
    try:
        through = httpx.URL(url).host not in HERE
        with httpx.Client(timeout=seconds, trust_env=through) as client:
            within(seconds, lambda: client.request(method, url))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
        return False
    return True


def bypass_proxy(env: MutableMapping[str, str]) -> None:
    """Have whoever reads `env` ask this machine itself, and no proxy."""
    both = ("no_proxy", "NO_PROXY")  # some read the one, some the other
    named = [host for name in both for host in env.get(name, "").split(",") if host]
    env.update(dict.fromkeys(both, ",".join(dict.fromkeys((*named, *HERE)))))
