"""The networks that judge subsets: a small one of our own, and every classifier of torchvision by name."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from winnow.errors import InputError

SMALL = "small"
STEM_SIDE = 32  # larger images are reduced to about this before the body of the small network
SMALL_SIDE = 64  # images up to here are too small for stems that were made for 224 pixels
TOKENS = 8  # patches along a side that a vision transformer gets of a small image


def build(name: str, *, side: int, classes: int, width: int) -> nn.Module:
    """A network with weights as they are drawn from torch's global generator.

    Args:
        name: `small`, or a name of torchvision's classifiers, such as resnet18, vit_b_16, swin_t, convnext_tiny.
        side: of the images, in pixels. Up to SMALL_SIDE the stem keeps more of their resolution.
        classes: C.
        width: channels of the first layer of the small network.

    Raises:
        InputError: there is no such network, or it takes no images of this size.
    """
    if name == SMALL:
        return SmallResNet(side, classes, width)
    from torchvision import models
    from torchvision.ops import StochasticDepth

    if name not in names():
        raise InputError(f"evaluate.model: torchvision has no classifier {name!r}; there are {', '.join(names())}")
    options: dict[str, object] = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    if name.startswith("vit_") and side > SMALL_SIDE:
        options["image_size"] = side
    try:
        model: nn.Module = models.get_model(name, weights=None, num_classes=classes, **options)
    except ValueError as error:
        raise InputError(f"evaluate.model: {name} cannot take images of {side} pixels ({error})") from error
    if side <= SMALL_SIDE:
        model = _for_small_images(model, side, classes)
    for layer in model.modules():
        # They draw from torch's global generator, and cells train side by side: none would repeat itself.
        if isinstance(layer, nn.Dropout | StochasticDepth):
            layer.p = 0.0
    return model


def names() -> list[str]:
    """All that `build` knows."""
    from torchvision import models

    return [SMALL, *models.list_models(module=models)]


def _for_small_images(model: nn.Module, side: int, classes: int) -> nn.Module:
    """The usual change for 32 pixels: half the stride in the stem and no pooling after it; finer patches."""
    from torchvision.models import VisionTransformer

    if isinstance(model, VisionTransformer):
        first = model.encoder.layers[0]
        return VisionTransformer(
            side - side % TOKENS,
            side // TOKENS,
            len(model.encoder.layers),
            first.num_heads,
            model.hidden_dim,
            model.mlp_dim,
            num_classes=classes,
        )
    stem = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    stem.stride = tuple(max(1, stride // 2) for stride in stem.stride)
    if isinstance(getattr(model, "maxpool", None), nn.MaxPool2d):
        model.maxpool = nn.Identity()
    return model


class SmallResNet(nn.Module):
    """A residual network for images of 28 to 128 pixels: stem at half resolution, two stages, global max pooling."""

    def __init__(self, side: int, classes: int, width: int) -> None:
        super().__init__()
        reduce = max(1, side // STEM_SIDE)
        stem = min(width, 3 * (4 * reduce) ** 2)  # a patch has no more principal components
        self.body = nn.Sequential(
            nn.Conv2d(3, stem, 4 * reduce, 2 * reduce, reduce, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
            _conv(stem, 2 * width),
            nn.MaxPool2d(2),
            Residual(2 * width),
            _conv(2 * width, 4 * width),
            nn.MaxPool2d(2),
            Residual(4 * width),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, classes, bias=False),
        )

    @property
    def stem(self) -> nn.Conv2d:
        """The first layer."""
        first = self.body[0]
        assert isinstance(first, nn.Conv2d)
        return first

    def whiten(self, images: Tensor) -> None:
        """Fix the stem to the principal components of patches of `images` (n, 3, side, side), scaled to unit variance.

        Inputs that are not correlated are learnt from in far fewer steps than pixels are.
        """
        stem = self.stem
        patches = F.unfold(images, stem.kernel_size[0], stride=stem.stride[0]).transpose(1, 2).flatten(0, 1)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        values, vectors = values.flip(0)[: stem.out_channels], vectors.flip(1)[:, : stem.out_channels]
        stem.weight.data.copy_((vectors * (values + 1e-3).rsqrt()).T.reshape(stem.weight.shape))
        stem.weight.requires_grad = False

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, side, side) to (B, classes)."""
        return self.body(images).float()


class Residual(nn.Module):
    """x + two convolutions of x, at constant shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(channels, channels), _conv(channels, channels))

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, h, w) to the same."""
        return images + self.body(images)


def _conv(channels_in: int, channels_out: int) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))
