"""Unconditional pixel checkpoints: answers, errors, and the stock pipeline's own pictures."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from daemon.checkpoints.library import Library
from daemon.diffusion.samplers import SAMPLERS
from daemon.diffusion.sampling import Trajectory, sample
from daemon.diffusion.tiling import Denoiser, denoise_tiles, native_tiles
from daemon.messages.tasks import Dtype
from daemon.models.calls import DenoiseCall, ModelCalls
from daemon.system.errors import ConfigError
from tests.support.answering import seeded
from tests.support.checkpoints import drive, loaded, stock, tensors, tiny, tiny_folder
from tests.support.tiny_networks import make_network, make_scheduler, save_pipeline
from tests.support.tiny_pipelines import save_pixel

PIXEL = ("pixel-epsilon", "pixel-v", "pixel-sample")


def calls(count: int, *, exact: bool = False) -> list[DenoiseCall]:
    return [
        DenoiseCall("m", seeded(3, 32, 32, seed=k), (k + 0.5) / count * math.pi / 2, exact=exact)
        for k in range(count)
    ]


@pytest.mark.parametrize("name", PIXEL)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_batch_of_any_times_is_answered_as_each_call_alone(name: str, dtype: Dtype) -> None:
    batch, model = calls(5), loaded(tiny_folder(name), dtype)
    together = tensors(model, batch)
    for call, answer in zip(batch, together, strict=True):
        (alone,) = tensors(model, [call])
        assert answer.dtype == torch.float32
        tolerance = 1e-4 if dtype == "fp32" else 5e-2
        torch.testing.assert_close(answer, alone, atol=tolerance, rtol=1e-3)


@pytest.mark.parametrize("name", PIXEL)
def test_exact_calls_are_answered_in_single_precision(name: str) -> None:
    batch, fast = calls(3, exact=True), loaded(tiny_folder(name), "bf16")
    for ours, theirs in zip(tensors(fast, batch), tensors(tiny(name), batch), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", PIXEL)
def test_estimates_are_clipped_as_configured_unless_exact(name: str) -> None:
    wild = [replace(call, x_t=3 * call.x_t) for call in calls(3)]
    assert all(float(x0.abs().max()) <= 1 for x0 in tensors(tiny(name), wild))
    exact = tensors(tiny(name), [replace(call, exact=True) for call in wild])
    assert max(float(x0.abs().max()) for x0 in exact) > 1


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_run_gives_the_picture_of_the_stock_pipeline(tmp_path: Path, prediction: str) -> None:
    folder = save_pixel(tmp_path / "net", prediction, scheduler="DDIMScheduler")
    pipeline = stock("DDIMPipeline", folder)
    theirs = pipeline(
        generator=torch.Generator().manual_seed(3), num_inference_steps=6, eta=0.0,
        use_clipped_model_output=True, output_type="np",
    ).images[0]  # fmt: skip
    pipeline.scheduler.set_timesteps(6)
    alphas = pipeline.scheduler.alphas_cumprod[pipeline.scheduler.timesteps]
    angles = [*(math.acos(math.sqrt(float(alpha))) for alpha in alphas), 0.0]
    denoiser = Denoiser("m", native_tiles(32))

    def predict(x_t: Tensor, t: float) -> ModelCalls[Tensor]:
        # Exact, so that both compute in float32; the clipping is done here instead.
        x0 = yield from denoise_tiles(denoiser, x_t, t, exact=True)
        return x0.clamp(-1, 1)

    first = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))[0]
    trajectory = Trajectory(angles, SAMPLERS["ddim"])
    result = drive(sample(first, trajectory, predict, lambda k: first), loaded(folder))
    ours = (result / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(ours, torch.from_numpy(theirs).permute(2, 0, 1), atol=1e-4, rtol=0)


def test_a_learned_variance_is_ignored(tmp_path: Path) -> None:
    unet = make_network(
        "UNet2DModel", sample_size=16, in_channels=3, out_channels=6, layers_per_block=1,
        block_out_channels=(8,), norm_num_groups=4, down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    )  # fmt: skip
    learned = make_scheduler("DDPMScheduler", variance_type="learned_range")
    folder = save_pipeline(tmp_path / "wide", "DDPMPipeline", unet=unet, scheduler=learned)
    (x0,) = tensors(loaded(folder), [DenoiseCall("m", seeded(3, 16, 16), 0.5)])
    assert x0.shape == (3, 16, 16)


def test_a_lone_network_with_its_scheduler_beside_it_is_a_checkpoint(tmp_path: Path) -> None:
    stored = tiny_folder("pixel-v")
    for part in (*(stored / "unet").iterdir(), *(stored / "scheduler").iterdir()):
        (tmp_path / part.name).write_bytes(part.read_bytes())
    call = calls(1, exact=True)[0]
    torch.testing.assert_close(
        tensors(loaded(tmp_path), [call])[0], tensors(tiny("pixel-v"), [call])[0]
    )


def test_a_network_of_one_channel_is_refused(tmp_path: Path) -> None:
    folder = save_pixel(tmp_path / "digits", channels=1)
    with pytest.raises(ConfigError, match="takes 1 channels; photographs need 3"):
        Library().checkpoint(str(folder))


def test_a_network_that_wants_a_class_is_refused(tmp_path: Path) -> None:
    folder = save_pixel(tmp_path / "classes")
    config = folder / "unet/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_class_embeds": 10}))
    with pytest.raises(ConfigError, match="wants a class"):
        Library().checkpoint(str(folder))


def test_missing_weights_and_an_odd_scheduler_are_clear_errors(tmp_path: Path) -> None:
    folder = save_pixel(tmp_path / "net")
    config = folder / "scheduler/scheduler_config.json"
    good = config.read_text()
    config.write_text(good.replace("DDPMScheduler", "KarrasVeScheduler"))
    with pytest.raises(ConfigError, match="KarrasVeScheduler"):
        loaded(folder)
    config.write_text(good)
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        loaded(folder)
    weights.unlink()
    with pytest.raises(ConfigError, match=r"net.*cannot be loaded"):
        loaded(folder)


def test_a_file_that_lacks_a_weight_is_refused(tmp_path: Path) -> None:
    folder = save_pixel(tmp_path / "net")
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    content = load_file(weights)
    del content["conv_in.weight"]
    save_file(content, weights, metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"its unet weights lack conv_in\.weight;"):
        loaded(folder)


def test_one_weights_file_with_its_configuration_is_a_checkpoint(tmp_path: Path) -> None:
    stored = tiny_folder("pixel-v")
    file = tmp_path / "net.safetensors"
    file.write_bytes((stored / "unet/diffusion_pytorch_model.safetensors").read_bytes())
    (tmp_path / "net").mkdir()
    for part in ("unet/config.json", "scheduler/scheduler_config.json"):
        (tmp_path / "net" / Path(part).name).write_bytes((stored / part).read_bytes())
    (call,) = calls(1, exact=True)
    ours, theirs = (tensors(model, [call])[0] for model in (loaded(file), tiny("pixel-v")))
    torch.testing.assert_close(ours, theirs)


def test_pickled_weights_are_not_opened(tmp_path: Path) -> None:
    folder = save_pixel(tmp_path / "net")
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    torch.save({"conv_in.weight": torch.zeros(1)}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        loaded(folder)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", PIXEL)
def test_a_gpu_answers_as_the_processor(name: str) -> None:
    on_gpu = loaded(tiny_folder(name), "auto", "cuda:0")
    batch = calls(4, exact=True)
    for ours, theirs in zip(tensors(on_gpu, batch), tensors(tiny(name), batch), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
