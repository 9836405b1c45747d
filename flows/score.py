"""Stage score: alignment and diversity of every sample. Run as `python -m flows.score`."""

from tasks import score
from tasks.score import ADAPT, EMBED
from winnow.files import scratch
from winnow.run import progress, stage
from winnow.run.decorators import flow
from winnow.run.settings import Settings
from winnow.selection.score import key, spans


@flow(name="score")
def run(settings: Settings) -> None:
    """Score the pool, some classes at a time, find what is nearly the same, and judge what is held out."""
    how = settings.score
    with scratch.of_stage("score", key(EMBED, ADAPT, neighbours=how.neighbours)) as pieces:
        parts = spans(EMBED)
        running = [score.classes.submit(part, pieces, how.neighbours) for part in parts]
        progress.watch("score", running, len(parts), lambda: len(list(pieces.glob("*.npz"))))
        score.gather(pieces)
    score.duplicates(how.near_duplicates)
    score.judge_held_out(how.near_duplicates)


if __name__ == "__main__":
    stage.main(run, mapped=True, at_once=1)
