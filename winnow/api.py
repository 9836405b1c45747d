"""The functions that `import winnow` gives: select and score from features, open releases, train on a subset.

Each checks its arguments first, and imports what is heavy only when they are right.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from winnow import arguments
from winnow.errors import ArgumentError, InputError
from winnow.names import quoted
from winnow.selection import methods
from winnow.selection.methods import Balance, Method, Recipe, Solver

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch.utils.data import Dataset, Subset

    from winnow.arrays import Rows, Source
    from winnow.features import Features
    from winnow.releases.manifest import Release


class MapStyle(Protocol):
    """A data set with a length, whose samples can be asked for by number: a list, or one of the Hugging Face hub."""

    def __len__(self) -> int: ...
    def __getitem__(self, row: int, /) -> Any: ...


def select(
    image: "Source | Sequence[Source]",
    labels: "Rows | None" = None,
    text: "Rows | Sequence[Rows | None] | None" = None,
    *,
    classes: Sequence[str] | None = None,
    ids: "Rows | None" = None,
    keep: float,
    method: Method = methods.METHOD,
    solver: Solver = methods.SOLVER,
    balance: Balance = methods.BALANCE,
    neighbours: float = methods.NEIGHBOURS,
    near_duplicates: float = methods.NEAR_DUPLICATES,
    drop_near_duplicates: bool = methods.DROP_NEAR_DUPLICATES,
    seed: int = methods.SEED,
    device: "str | torch.device | None" = None,
) -> "pd.DataFrame":
    """Choose the samples that are worth training on, from their features and labels.

    The same input and seed choose the same samples, as an array, a column or a folder: `winnow select FOLDER` chooses
    them too.

    Args:
        image: (N, d) image features in floating point: a NumPy array or memory map, a torch tensor on any device, a
            data frame of numbers, a column or list of vectors. Or a folder of features as `winnow select` takes it, or
            `Features`; these bring all other parts, and what is given here beside them replaces a part. Or a list of
            these, an item for each encoder, whose samples are the same in the same order: their heads are mixed, and
            the first counts for coverage.
        labels: (N,) the class of each: an index into `classes`, or its name. A categorical column brings its classes.
        text: (C, d) features of the class prompts, a row for each class in the order of `classes`, from the encoder of
            the images. Without them, as for an encoder that reads no text, class means stand for the classes. Of
            several encoders, a list with an item, or None, for each.
        classes: C class names. Without them, the sorted names among the labels, or the numbers from 0.
        ids: (N,) unique names of the samples: text, whole numbers or paths. Without them, row numbers.
        keep: share of the samples to keep, above 0 and at most 1; round(keep * N) are kept, exactly.
        method: `winnow` (the default), or `paper` for the published method.
        solver: of the published method: `exact` (the default), or `gradient` for its loop.
        balance: how the budget is split over the classes: `proportional` (the default), `uniform`, or `none` for no
            split.
        neighbours: nearest neighbours for diversity: a share of the class below 1, else a number of them; 0.1
            by default.
        near_duplicates: cosine from which two images are nearly the same, above 0 and at most 1; 0.97 by default.
        drop_near_duplicates: of images that are nearly the same, keep the one whose label is likeliest right;
            False by default.
        seed: fixes every random choice; 0 by default.
        device: where to compute; the GPU if there is one.

    Returns:
        A row for each sample, in input order: id, label, class_name; alignment (the log odds that the label is right:
        below 0 it is suspected), sas and sds (the published scores), predicted (the class that the image looks like);
        of several encoders predicted_1, predicted_2 and so on (what each alone sees), agree (how many see predicted);
        selected; and, for what was dropped, reason (`suspected label`, `damaged`, `near duplicate`, `redundant` or
        `over budget`) and evidence (the class that it looks like, or the id of the sample that makes it needless).

    Raises:
        InputError: an argument is at fault. The message names it, with the row or class; it is a ValueError.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.arange(300) % 3
        >>> text = rng.normal(size=(3, 16))
        >>> image = text[labels] + 0.5 * rng.normal(size=(300, 16))
        >>> labels[7] = 2  # was 1
        >>> table = winnow.select(image, labels, text, classes=["ant", "bee", "cat"], keep=0.3)
        >>> int(table["selected"].sum())
        90
        >>> table.loc[7, ["class_name", "reason", "evidence"]].tolist()
        ['cat', 'suspected label', 'bee']
    """
    arguments.choice("method", method, Method)
    arguments.choice("solver", solver, Solver)
    arguments.choice("balance", balance, Balance)
    share = arguments.share("keep", keep)
    near = arguments.neighbours(neighbours)
    cosine = arguments.share("near_duplicates", near_duplicates)
    drop = arguments.switch("drop_near_duplicates", drop_near_duplicates)
    fixed = arguments.seed(seed)
    from winnow import arrays, budget

    data = arrays.gathered(image, labels, text, classes=classes, ids=ids)
    budget.total(share, len(data.labels))  # before torch is imported
    from winnow.selection import select as chain

    table = chain.select(
        data,
        Recipe(),
        keep=share,
        method=method,
        solver=solver,
        balance=balance,
        neighbours=near,
        near_duplicates=cosine,
        drop_near_duplicates=drop,
        seed=fixed,
        device=arguments.device(device),
    )
    return table[[*chain.columns(table), *chain.CHOSEN]]


def score(
    image: "Source | Sequence[Source]",
    labels: "Rows | None" = None,
    text: "Rows | Sequence[Rows | None] | None" = None,
    *,
    classes: Sequence[str] | None = None,
    ids: "Rows | None" = None,
    method: Method = methods.METHOD,
    neighbours: float = methods.NEIGHBOURS,
    seed: int = methods.SEED,
    device: "str | torch.device | None" = None,
) -> "pd.DataFrame":
    """Judge samples from their features and labels, without choosing.

    Args:
        image: (N, d) image features, a folder, or `Features`; this and the others as for `select`.
        labels: (N,) the class of each.
        text: (C, d) features of the class prompts, if there are any.
        classes: C class names.
        ids: (N,) unique names of the samples.
        method: `winnow` (the default), or `paper` for the published method.
        neighbours: nearest neighbours for diversity: a share of the class below 1, else a number of them; 0.1
            by default.
        seed: fixes every random choice; 0 by default.
        device: where to compute; the GPU if there is one.

    Returns:
        A row for each sample, in input order: id, label, class_name, alignment, sas, sds, predicted; see `select`.

    Raises:
        InputError: an argument is at fault. The message names it, with the row or class; it is a ValueError.

    Example:
        >>> table = winnow.score("features")
        >>> suspects = table[table["alignment"] < 0].sort_values("alignment")
        >>> suspects[["id", "class_name", "predicted"]].shape
        (43, 3)
    """
    arguments.choice("method", method, Method)
    near, fixed = arguments.neighbours(neighbours), arguments.seed(seed)
    from winnow import arrays

    data = arrays.gathered(image, labels, text, classes=classes, ids=ids)
    from winnow.selection import select as chain

    table = chain.score(data, Recipe(), method=method, neighbours=near, seed=fixed, device=arguments.device(device))
    return table[chain.columns(table)]


def load_features(folder: str | os.PathLike[str]) -> "Features":
    """Read and check a folder of features; the image features stay on the disk, as a memory map.

    Args:
        folder: holds image.npy (N, d), labels.npy (N,), classes.json and, if you have them, text.npy (C, d), ids.txt.

    Returns:
        Features, which `select` and `score` take in place of an array.

    Raises:
        InputError: a file is missing or unreadable, or its content does not fit the others.

    Example:
        >>> features = winnow.load_features("features")
        >>> features.image.shape, features.classes[:2], str(features.ids[0])
        ((300, 16), ['ant', 'bee'], 'photo-286')
    """
    place = arguments.folder("folder", folder)
    from winnow import features

    return features.load(place)


def open_release(folder: str | os.PathLike[str]) -> "Release":
    """Open a release: what was kept, why the rest was dropped, and what made it.

    Args:
        folder: of the release, such as data/release.

    Returns:
        The release. `ids` are those kept, `scores` is a table with a row for every sample of the pool, `manifest`
        states what made it; `verify`, `diff` and `export` do what the commands of these names do.

    Raises:
        InputError: there is no release in the folder, or not one that this version reads.

    Example:
        >>> release = winnow.open_release("data/release")
        >>> len(release.ids), len(release.scores), release.manifest.name
        (16, 24, 'photos')
    """
    place = arguments.folder("folder", folder)
    from winnow.releases import manifest

    return manifest.load(place)


def subset(dataset: "Dataset[Any] | MapStyle", table: "pd.DataFrame | Release") -> "Subset[Any]":
    """Cut a data set down to the samples that were selected, in the order of the table.

    Samples are found by id in a data set that has ids: an attribute `ids`, the paths of torchvision's `ImageFolder`
    below its root, or a column `id` of a Hugging Face data set. It may then hold others too. In a data set without ids,
    or with none of those in the table, row i is row i of the table, and both must have the same length.

    Args:
        dataset: any map-style data set: one of torch, of the Hugging Face hub, a list.
        table: of `select`, or a release.

    Returns:
        A data set for a DataLoader.

    Raises:
        InputError: the two differ in length, or a sample that was selected is not in the data set.

    Example:
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> dataset = TensorDataset(torch.zeros(300, 3, 8, 8), torch.zeros(300))
        >>> table = winnow.select("features", keep=0.3)
        >>> loader = DataLoader(winnow.subset(dataset, table), batch_size=32, shuffle=True)
        >>> len(loader.dataset)
        90
    """
    import numpy as np
    import pandas as pd
    from torch.utils.data import Subset

    frame = table if isinstance(table, pd.DataFrame) else getattr(table, "scores", None)
    if not isinstance(frame, pd.DataFrame):
        raise ArgumentError("table", f"is {type(table).__name__}: it must be the table of winnow.select, or a release")
    for column in ("id", "selected"):
        if column not in frame:
            raise ArgumentError("table", f"has no column {column!r}: it must be the table of winnow.select")
    if not pd.api.types.is_bool_dtype(frame["selected"]):
        raise ArgumentError("table", f"has a column 'selected' of {frame['selected'].dtype}: it must be true or false")
    chosen = frame["selected"].to_numpy(dtype=bool)
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise ArgumentError(
            "dataset", f"is {type(dataset).__name__}, which has no length or no rows: it must be a map-style data set"
        )
    rows = cast("Dataset[Any]", dataset)  # all that Subset asks of it is checked above
    if (names := _ids(dataset)) is not None:
        known = pd.Index(names)
        if (twice := known.duplicated()).any():
            raise InputError(f"dataset: the id {quoted(known[twice][0])} occurs twice; each must be unique")
        places = known.get_indexer(pd.Index(frame["id"].astype(str)))
        missing = np.flatnonzero((places < 0) & chosen)
        if not missing.size:
            return Subset(rows, places[chosen].tolist())
        if (places >= 0).any():
            raise InputError(
                f"dataset has no sample {quoted(frame['id'].iloc[missing[0]])}; {missing.size:,} of those selected are "
                "missing"
            )
    if len(dataset) != len(frame):
        raise InputError(
            f"dataset has {len(dataset):,} samples and table {len(frame):,} rows, so that row i is not sample i; give "
            "the data set that was selected from, or one that has ids"
        )
    return Subset(rows, np.flatnonzero(chosen).tolist())


def _ids(dataset: Any) -> list[str] | None:
    """The ids of a data set's samples, where it has any."""
    if getattr(dataset, "ids", None) is not None:
        found = dataset.ids
    elif isinstance(root := getattr(dataset, "root", None), str | os.PathLike) and hasattr(dataset, "samples"):
        found = [os.path.relpath(path, root) for path, *_ in dataset.samples]
        found = [Path(name).as_posix() for name in found]
    elif "id" in (getattr(dataset, "column_names", None) or ()):
        found = dataset["id"]
    else:
        return None
    return [str(name) for name in found]
