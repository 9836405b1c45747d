"""The reasons for dropping a sample, as stored in tables and as shown to readers."""

from collections.abc import Mapping

SUSPECTED, DAMAGED, TWIN = "suspected label", "damaged", "near duplicate"
REDUNDANT, OVER_BUDGET = "redundant", "over budget"
RELABELLED = "relabelled"  # the only reason of what is kept: under another label than it was given
UNCERTAIN = "uncertain"  # only where `optimize.max_wrong` cut what is kept
REASONS = {
    SUSPECTED: ("suspected labels", "the label is suspected: the image looks like another class"),
    DAMAGED: ("damaged", "the label is suspected and the image is unlike all others: damaged, or out of place"),
    TWIN: ("near duplicates", "nearly the same as an image whose label is more likely right"),
    REDUNDANT: ("redundant", "redundant: a sample that was kept is like it"),
    OVER_BUDGET: ("over budget", "over budget: nothing of its class was kept"),
}

CUT = {UNCERTAIN: ("uncertain", "uncertain: with it, what is kept could not be shown to have so few wrong labels")}


def key(reason: str) -> str:
    """The name of a reason's count in metrics and manifests."""
    return reason.replace(" ", "_")


def counted(selection: Mapping[str, float]) -> dict[str, tuple[str, str]]:
    """The reasons that metrics or a manifest count, each with its words."""
    return REASONS | {reason: words for reason, words in CUT.items() if key(reason) in selection}
