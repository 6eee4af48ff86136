"""Placing networks: offload, attention and compilation change where they run, not their answers."""

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DModel
from torch import nn

from daemon.checkpoints.library import Library
from daemon.messages.tasks import ModelOptions
from daemon.models.memory import mixed_precision, weights_dtype
from daemon.models.placing import compile_blocks, offload_layers, offload_models, place
from daemon.models.registry import Placement
from daemon.system.errors import ConfigError

CPU = torch.device("cpu")


def placed(**options: object) -> Placement:
    return Placement(Library().checkpoint("prior"), "cpu", ModelOptions(**options))  # type: ignore[arg-type]


def network() -> nn.Module:
    torch.manual_seed(0)
    make: Any = UNet2DModel  # untyped
    built: nn.Module = make(
        sample_size=8,
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    return built.eval()


def answers(unet: nn.Module, size: int) -> torch.Tensor:
    x = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    t = torch.linspace(0, 999, 8)
    with torch.inference_mode():
        output: torch.Tensor = unet(x[:size], t[:size]).sample
    return output


def test_the_setting_decides_the_precision() -> None:
    assert weights_dtype(placed(dtype="fp16")) == torch.float16
    assert weights_dtype(placed(dtype="bf16")) == torch.bfloat16
    with mixed_precision(placed(dtype="bf16"), exact=False):
        assert torch.is_autocast_enabled("cpu")
    with mixed_precision(placed(dtype="bf16"), exact=True):
        assert not torch.is_autocast_enabled("cpu")
    with mixed_precision(placed(dtype="fp32"), exact=False):
        assert not torch.is_autocast_enabled("cpu")


def test_compiled_blocks_see_few_batch_sizes_and_answer_as_before() -> None:
    plain, compiled = network(), network()
    compile_blocks(compiled, backend="aot_eager")
    seen: list[int] = []
    compiled.get_submodule("down_blocks.0").register_forward_pre_hook(
        lambda block, args, kwargs: seen.append(kwargs["hidden_states"].shape[0]), with_kwargs=True
    )
    for size in (5, 6, 1, 4):
        assert torch.allclose(answers(compiled, size), answers(plain, size), atol=1e-5)
    assert seen == [6, 6, 1, 4]


def test_a_network_with_offloaded_layers_answers_as_before() -> None:
    plain, offloaded = network(), network()
    offload_layers(offloaded, CPU)
    assert torch.equal(answers(offloaded, 2), answers(plain, 2))


class MovedNetwork(nn.Linear):
    """Notes each device that it is moved to."""

    def __init__(self, moves: list[str], name: str) -> None:
        super().__init__(2, 2)
        self.moves, self.name = moves, name

    def to(self, device: object) -> "MovedNetwork":  # type: ignore[override]
        if hasattr(self, "moves"):
            self.moves.append(f"{self.name} to {device}")
        return self


def test_of_offloaded_models_only_the_one_that_ran_last_is_on_the_device() -> None:
    moves: list[str] = []
    a, b = MovedNetwork(moves, "a"), MovedNetwork(moves, "b")
    offload_models([a, b], torch.device("cuda:0"))
    moves.clear()
    x = torch.zeros(1, 2)
    for one in (a, a, b, a):
        one(x)
    assert moves == [
        "a to cuda:0",
        "a to cpu",
        "b to cuda:0",
        "b to cpu",
        "a to cuda:0",
    ]


def test_an_offloaded_autoencoder_comes_back_for_encode_and_for_decode() -> None:
    make: Any = AutoencoderKL
    vae = make(block_out_channels=(8,), norm_num_groups=4)
    seen: list[nn.Module] = []
    offload_models([vae], CPU)
    vae._hf_hook._on_device = seen
    with torch.inference_mode():
        vae.encode(torch.zeros(1, 3, 8, 8))
        assert seen == [vae]
        seen.clear()
        vae.decode(torch.zeros(1, 4, 8, 8))
    assert seen == [vae]


@pytest.mark.parametrize(
    ("backend", "why"),
    [
        ("sage_hub", "kernels from the Hub are code from elsewhere"),
        ("dream", "must be one of"),
    ],
)
def test_an_attention_backend_that_cannot_be_used_is_a_configuration_error(
    backend: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=f"attention is '{backend}'.*{why}"):
        place([network()], placed(attention=backend))


def test_the_native_backend_answers_as_the_default() -> None:
    plain, placed_network = network(), network()
    place([placed_network], placed(attention="native"))
    assert torch.allclose(answers(placed_network, 2), answers(plain, 2), atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("offload", ["none", "model", "group"])
def test_on_a_gpu_offloaded_networks_answer_as_on_the_processor(offload: str) -> None:
    plain, placed_network = network(), network()
    placement = Placement(
        Library().checkpoint("prior"),
        "cuda:0",
        ModelOptions("fp32", offload),  # type: ignore[arg-type]
    )
    place([placed_network], placement)
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        there = placed_network(x.cuda(), torch.tensor([5.0, 500.0], device="cuda")).sample.cpu()
        here = plain(x, torch.tensor([5.0, 500.0])).sample
    assert torch.allclose(there, here, atol=1e-3)
