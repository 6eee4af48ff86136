"""The shipped damage network, asked through its calls."""

import torch
from torch import Tensor

from daemon.diffusion.pixels import to_tensor
from daemon.models.calls import DamageCall
from daemon.models.damage_network import DamageNetwork
from tests.support.answering import shipped
from tests.support.photographs import cracked_print


def probability(picture: Tensor) -> Tensor:
    (answer,) = shipped("damage").predict([DamageCall("damage", picture)])
    assert isinstance(answer, Tensor)
    return answer[0]


def test_a_crack_across_a_print_is_found_and_the_print_without_it_left_alone() -> None:
    whole, damaged, where = cracked_print()
    found, before = probability(to_tensor(damaged)), probability(to_tensor(whole))
    assert found.shape == where.shape
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert float((found[torch.from_numpy(where)] > 0.5).float().mean()) > 0.8
    assert float((before > 0.5).float().mean()) < 0.01


def test_the_network_answers_for_each_pixel_of_any_multiple_of_16() -> None:
    network = DamageNetwork().eval()
    with torch.inference_mode():
        for size in ((16, 16), (48, 80)):
            assert network(torch.zeros(2, 3, *size)).shape == (2, 1, *size)
