"""Check the names of samples and classes, by one rule for every source, feature folder and list.

Lists hold one name per line; terminals, logs and reports show names; an export turns them into files and folders.
So a name is a single line of visible text that every tool reads in the same way.
"""

import logging
import re
import unicodedata
from collections.abc import Iterable

from winnow.errors import InputError

LONGEST = 1024  # bytes of UTF-8: the longest key that S3 takes
SHOWN = 100  # characters of a name that a message repeats

LINE_BREAK = re.compile("[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")  # every one that str.splitlines knows
ESCAPE = re.compile("[\x1b\x9b]")  # a terminal takes what follows for a command
CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")
DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")  # reverses the text that follows, so that gpj.x reads x.jpg
MARK = re.compile("\ufeff")
SURROGATE = re.compile("[\ud800-\udfff]")  # stands for a byte that is not UTF-8
FAULTS = (
    (LINE_BREAK, "a line break"),
    (ESCAPE, "an escape"),
    (CONTROL, "a control character"),
    (DIRECTION, "a character that turns the direction of text"),
    (MARK, "a byte order mark"),
)

log = logging.getLogger(__name__)


def fault(name: str) -> str | None:
    """What makes a name unfit for a sample or class, as the end of a sentence; None where nothing does."""
    if not name.isprintable():  # nor are many that do no harm, such as the no-break space in names of screenshots
        for pattern, words in FAULTS:
            if found := pattern.search(name):
                return f"has {words} in it (U+{ord(found[0]):04X})"
        if SURROGATE.search(name):
            return "is not UTF-8"
    if len(name) > LONGEST // 4 and len(name.encode()) > LONGEST:
        return f"is longer than {LONGEST:,} bytes"
    return None


def quoted(name: str) -> str:
    """A name as messages show it: in quotes, with escapes for what does not print, and cut where it is long."""
    return repr(str(name) if len(name) <= SHOWN else f"{name[:SHOWN]}…")


def check_names(ids: Iterable[str], where: str) -> None:
    """Refuse ids that no later step could use; `where` they come from begins the message.

    Raises:
        InputError: an id has a control character or line break in it, is not UTF-8, or is too long.
    """
    for name in ids:
        if what := fault(name):
            raise InputError(f"{where}: the name {quoted(name)} {what}; rename it")


def check_classes(classes: Iterable[str], where: str) -> None:
    """Refuse class names that cannot be told apart; warn of names that differ only in case (`a`, `A` may be meant).

    Raises:
        InputError: a name is blank or unfit (`fault`), or occurs twice, perhaps in two Unicode forms.
    """
    forms: dict[str, str] = {}
    cases: dict[str, str] = {}
    for name in classes:
        what = fault(name) or (None if (form := _form(name)) else "is blank")
        if what:
            raise InputError(
                f"{where}: {quoted(name)} is no name for a class: it {what}, and must be text in one line; rename it"
            )
        if (other := forms.get(form)) == name:
            raise InputError(f"{where}: the class name {quoted(name)} occurs twice; each must be unique")
        if other is not None:
            raise InputError(
                f"{where}: the classes {quoted(other)} and {quoted(name)} are the same text, in other "
                "Unicode forms or spaces; give both one name"
            )
        if (folded := form.casefold()) in cases:
            log.warning("the classes %s and %s differ only in case; are they one?", quoted(cases[folded]), quoted(name))
        forms[form], cases[folded] = name, name


def _form(name: str) -> str:
    """What a reader sees of a name: one Unicode form, single spaces, nothing that has no width."""
    seen = "".join(character for character in name if unicodedata.category(character) != "Cf")
    return " ".join(unicodedata.normalize("NFC", seen).split())


def lines(data: bytes) -> list[str]:
    """The lines of a text file as editors of any system leave it, with CRLF and a byte order mark.

    `str.splitlines` would split at U+2028 and others too, which are text here.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    found = data.decode("utf-8-sig").split("\n")
    if not found[-1]:  # what follows the last line break
        found.pop()
    return [line.removesuffix("\r") for line in found]
