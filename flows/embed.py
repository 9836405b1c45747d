"""Stage embed: features of images and class prompts. Run as `python -m flows.embed`."""

from pathlib import Path

from prefect import flow

from flows import device, runtime
from flows.settings import Settings
from tasks import embed


@flow(name="embed")
def run(settings: Settings) -> None:
    """Embed with an encoder, or take the features that are there."""
    how, images, out = settings.embed, runtime.DATA / "prepare" / "images", runtime.DATA / "embed"
    if how.source == "features":
        runtime.as_task(embed.run_features)(images, Path(how.path), out)
    else:
        runtime.gpu_task(embed.run_encoder)(
            images,
            Path(how.path),
            out,
            model=how.model,
            pretrained=how.pretrained,
            prompts=how.prompts,
            batch_size=how.batch_size,
            device=device.best(),
        )


if __name__ == "__main__":
    runtime.main(run)
