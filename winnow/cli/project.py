"""`winnow look` and `winnow init`. Imports are inside the commands, so that `--help` answers at once."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.errors import InputError
from winnow.terminal.ending import ended
from winnow.terminal.say import one_line, say

if TYPE_CHECKING:
    from winnow.project.create import Place
    from winnow.project.template import Choices

Features = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Features that you have: image.npy, labels.npy, classes.json, perhaps text.npy."
    ),
]
Label = Annotated[str, typer.Option(help="Column of labels in a table or Parquet; key in the json of tar shards.")]
HeldOut = Annotated[
    str | None, typer.Option(metavar="SPLIT", help="Split to test on, or a .txt of ids; else the one named so.")
]
FollowLinks = Annotated[bool, typer.Option("--follow-links", help="Read what links lead to outside the source.")]


def look(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder, a file, a URL, or torchvision:NAME:FOLDER.")
    ],
    features: Features = None,
    label: Label = "label",
    held_out: HeldOut = None,
    follow_links: FollowLinks = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Say what a source holds: its kind, splits, classes and counts, and what is passed over.

    Nothing is written and no image is read. Exit code 2: it is no source, with the reason.
    """
    with ended():
        from winnow.project.look import look as find

        found = find(source, features_at=features, label=label, held_out=held_out, follow_links=follow_links)
        if as_json:
            say(json.dumps(found.stated(), indent=2, ensure_ascii=False))
            return
        for line in found.lines():
            say(one_line(line))


def init(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="The project to make, or to update.  [to update: this folder]"),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Where the images are: a folder, a file, a URL, or torchvision:NAME.")
    ] = None,
    features: Features = None,
    encoder: Annotated[
        str | None, typer.Option(help="Of open_clip, or timm:NAME, torchvision:NAME.  [default: ViT-B-32]")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="File of the encoder's weights.")] = None,
    pretrained: Annotated[
        str | None, typer.Option(metavar="TAG", help="The library's tag of the encoder's weights.")
    ] = None,
    keep: Annotated[float | None, typer.Option(help="Share of the images to keep, above 0 and at most 1.")] = None,
    label: Label = "label",
    held_out: HeldOut = None,
    follow_links: FollowLinks = False,
    update: Annotated[
        bool, typer.Option("--update", help="Bring the files that you have not changed to this version of Winnow.")
    ] = False,
) -> None:
    """Make a project for your own images: the pipeline, its parameters, and a README with your commands.

    Looks at the source first. Works inside a Git repository, in a folder of its own, and makes one where there is none.
    Nothing is overwritten.
    """
    with ended():
        from winnow.project import create

        if update:
            if source or features or encoder or weights or pretrained or keep is not None:
                raise InputError("--update takes the folder alone; what a project is made of stands in its params.yaml")
            _update(folder or Path())
            return
        if folder is None:
            raise InputError("name the folder to make, such as winnow init my-subset --source path/to/images")
        if not source:
            raise InputError("--source: say where the images are, such as --source path/to/images")
        where = create.place(folder)
        choices = _choices(where, source, features, encoder, weights, pretrained, keep, label, held_out, follow_links)
        create.check_free(where, choices)
        _say_source(source, features, label, held_out, follow_links)
        new = create.write(where, choices)
        _say_next(where, new)


def _choices(
    where: "Place",
    source: str,
    features: Path | None,
    encoder: str | None,
    weights: Path | None,
    pretrained: str | None,
    keep: float | None,
    label: str,
    held_out: str | None,
    follow_links: bool,
) -> "Choices":
    """What was asked for, checked, with defaults for the rest.

    Raises:
        InputError: with the option at fault.
    """
    from winnow.encoders import image_only
    from winnow.project import create, template
    from winnow.run.settings import ARCHITECTURE, TAG, Optimize

    if keep is not None and not 0 < keep <= 1:
        raise InputError(f"--keep {keep}: a share above 0 and at most 1")
    if features and (encoder or weights or pretrained):
        raise InputError(
            "--features: these take the place of an encoder; leave --encoder, --weights and --pretrained out"
        )
    if weights and pretrained:
        raise InputError("--weights and --pretrained: name one of them")
    if not weights and not pretrained and encoder in (None, ARCHITECTURE):
        pretrained = TAG
    model = encoder or ARCHITECTURE
    if encoder or (pretrained not in (None, TAG)):
        _check_encoder(model, weights, pretrained)
    if weights and not weights.exists():
        raise InputError(f"--weights {weights}: there is no such file")
    return template.Choices(
        name=where.name,
        source=create.source_from(source, where.folder),
        shown="the images at `" + create.source_from(source, where.folder) + "`",
        artifact=where.artifact,
        keep=Optimize().keep if keep is None else keep,
        features=template.relative(str(features), where.folder) if features else None,
        model=model,
        weights=template.relative(str(weights), where.folder) if weights else None,
        pretrained=pretrained,
        prompted=not image_only.reads_no_text(model),
        label=label,
        held_out=template.relative(held_out, where.folder) if held_out and held_out.endswith(".txt") else held_out,
        follow_links=follow_links,
    )


def _check_encoder(model: str, weights: Path | None, pretrained: str | None) -> None:
    """Refuse an architecture or tag that open_clip does not have, before a project names it."""
    import open_clip

    from winnow.encoders import encoder, hub, image_only

    try:
        if image_only.reads_no_text(model):
            image_only.check(model, pretrained)
        elif model != encoder.LOCAL:
            hub.check_model(model)
        if pretrained and not image_only.reads_no_text(model):
            hub.check_tag(model, pretrained)
    except InputError as error:
        words = str(error).replace("embed.model:", f"--encoder {model}:").replace("embed.pretrained:", "--pretrained:")
        raise InputError(words) from error
    if not weights and not pretrained:
        known = image_only.tags if image_only.reads_no_text(model) else open_clip.list_pretrained_tags_by_model
        tags = ", ".join(known(model)) or "none"
        raise InputError(f"--encoder {model}: name its weights with --weights FILE or --pretrained TAG (tags: {tags})")


def _say_source(source: str, features: Path | None, label: str, held_out: str | None, follow_links: bool) -> None:
    from winnow.project import look as looking

    if looking.downloads(source):
        say(f"{one_line(source)} is downloaded when the project runs for the first time")
        return
    found = looking.look(source, features_at=features, label=label, held_out=held_out, follow_links=follow_links)
    for line in found.lines():
        say(one_line(line))


def _say_next(where: "Place", new: bool) -> None:
    folder = where.folder
    here = Path.cwd()
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    say(f"\nmade {one_line(folder)}")
    if new:
        say("a Git repository was made there too, since there was none around it")
    elif where.top and where.top != folder:
        say(f"it is part of the Git repository {one_line(where.top)}")
    go = f"cd {shlex.quote(str(shown))} && " if shown != Path() else ""
    say(f"\nnext      {go}dvc repro\nto change {shown / 'params.yaml'}; the README beside it names your commands")


def _update(folder: Path) -> None:
    from winnow import __version__
    from winnow.project import create

    done = create.update(folder)
    for name, difference in done.kept.items():
        say(f"{one_line(name)} was changed here, and is left as it is; Winnow would change it so:\n{difference}\n")
    for name in done.written:
        say(f"updated {one_line(name)}")
    state = [f"{len(done.written)} files updated"] + [f"{len(done.kept)} left as you changed them"] * bool(done.kept)
    if not done.written and not done.kept:
        state = ["nothing to update"]
    say(f"{one_line(folder.absolute())}: from Winnow {done.before} to {__version__}; {', '.join(state)}")
