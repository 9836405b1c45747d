"""What metrics and manifests hold of answers, in words; it imports nothing heavy."""

from collections.abc import Mapping

KEYS = ("checked", "wrong_kept", "wrong_kept_at_most", "wrong_kept_confidence")


def stated(numbers: Mapping[str, float]) -> str | None:
    """What the numbers of `checking.results` hold of wrong labels among the kept; None where they hold nothing."""
    if "wrong_kept_at_most" not in numbers:
        return None
    wrong, most, confidence = (numbers[f"wrong_kept{key}"] for key in ("", "_at_most", "_confidence"))
    return (
        f"of the labels kept, about {wrong:.2%} are wrong, at most {most:.2%} with {100 * confidence:.4g}% confidence "
        f"({int(numbers['checked']):,} images checked)"
    )
