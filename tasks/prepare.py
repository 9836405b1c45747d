"""Stage prepare. Reads the source and corrections.csv; writes data/prepare."""

from pathlib import Path

from tasks import DATA
from winnow import sources
from winnow.images import prepare
from winnow.run.decorators import task
from winnow.run.settings import Prepare
from winnow.sources import Source


def open_source(how: Prepare) -> Source:
    """Find out what the source holds."""
    return sources.open_source(how.source, label=how.label, held_out=how.held_out, follow_links=how.follow_links)


@task
def read(source: Source, how: Prepare, seed: int) -> list[str]:
    """Read every image, set aside what cannot be read, and plant what is asked for; what there is to say about it."""
    return prepare.run(
        source,
        DATA / "prepare",
        test_share=how.test_share,
        max_rejected=how.max_rejected,
        wrong_labels=how.wrong_labels,
        mistaken=how.mistaken,
        damaged=how.damaged,
        drop=how.drop,
        corrections=Path(how.corrections),
        seed=seed,
    )
