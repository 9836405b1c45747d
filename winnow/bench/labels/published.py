"""What the published method says of labels, for `winnow bench labels`."""

from winnow.bench.labels.judgement import Judgement, Judgements
from winnow.features import Features
from winnow.selection import adapt, score
from winnow.selection.methods import Recipe


def paper(data: Features, seed: int) -> Judgements:
    """SAS of the fitted adapters, which has no verdict."""
    fitted = adapt.fit(data, Recipe(), seed=seed, device="cpu")
    return {"paper": Judgement(score.score(data, fitted, neighbours=1, device="cpu")["sas"].to_numpy())}
