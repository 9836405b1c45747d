"""Every classifier by its name, for images of every size."""

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from winnow.errors import InputError
from winnow.training import networks

FAMILIES = ["small", "resnet18", "vit_b_32", "swin_t", "convnext_tiny", "efficientnet_b0", "squeezenet1_1"]


@pytest.mark.parametrize("side", [32, 96])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_gives_a_score_a_class(name: str, side: int) -> None:
    model = networks.build(name, side=side, classes=5, width=4).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, 3, side, side)).shape == (2, 5)
    assert not any(layer.p for layer in model.modules() if isinstance(layer, nn.Dropout | StochasticDepth))


def test_small_images_keep_their_resolution_in_the_stem() -> None:
    small, large = (networks.build("resnet18", side=side, classes=5, width=4) for side in (32, 224))
    assert isinstance(small, nn.Module)
    seen = {}
    for name, model in (("small", small), ("large", large)):
        model.layer1.register_forward_pre_hook(lambda _, x, name=name: seen.update({name: x[0].shape[-1]}))
        model.eval()(torch.zeros(1, 3, 32, 32))
    assert seen == {"small": 32, "large": 8}


def test_the_same_seed_draws_the_same_weights() -> None:
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        drawn.append(networks.build("efficientnet_b0", side=32, classes=3, width=4).state_dict())
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])


def test_an_unknown_network_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no classifier 'resnet19'.*small.*resnet18"):
        networks.build("resnet19", side=32, classes=5, width=4)
