"""Stable Diffusion driven step by step: answers, errors, and the stock pipelines' own latents."""

import math
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from daemon.checkpoints.library import Library
from daemon.checkpoints.traits import traits_of
from daemon.diffusion.samplers import SAMPLERS
from daemon.diffusion.sampling import Trajectory, sample
from daemon.diffusion.tiling import Denoiser, denoise_tiles, native_tiles
from daemon.models.calls import (
    DecodeCall,
    DenoiseCall,
    EmbedCall,
    Embedding,
    EncodeCall,
    Guidance,
    ModelCalls,
)
from daemon.models.latent import Latent, _decodes_in_float32, rescale_guidance
from daemon.models.registry import Model
from daemon.restorers.working_space import WorkingSpace
from daemon.system.errors import ConfigError
from tests.support.answering import seeded
from tests.support.checkpoints import (
    TEXTUAL,
    drive,
    loaded,
    stock,
    tensors,
    tiny,
    tiny_folder,
    tiny_traits,
)
from tests.support.tiny_networks import tiny_unet
from tests.support.tiny_pipelines import save_stable, save_stable_inpaint, save_xl

PIPELINES = {
    "stable-1": "StableDiffusionPipeline",
    "stable-2": "StableDiffusionPipeline",
    "stable-xl": "StableDiffusionXLPipeline",
}
PROMPT, NEGATIVE = "a photo of the old cat", "blue"


def embedded(model: Model, text: str) -> Embedding:
    (answer,) = model.predict([EmbedCall("m", text)])
    assert isinstance(answer, Embedding)
    return answer


def guidance(model: Model, scale: float, *, negative: bool = True) -> Guidance:
    against = embedded(model, NEGATIVE) if negative else None
    return Guidance(embedded(model, PROMPT), against, scale)


@pytest.mark.parametrize("name", TEXTUAL)
def test_a_batch_is_answered_as_each_call_alone(name: str) -> None:
    model = tiny(name)
    asked = [guidance(model, 3.0), guidance(model, 7.0, negative=False), guidance(model, 2.0)]
    calls = [
        DenoiseCall(
            "m", seeded(4, 8, 8, seed=k), 0.3 + 0.4 * k, exact=True, guidance=one, reduction=8
        )
        for k, one in enumerate(asked)
    ]
    for call, answer in zip(calls, tensors(model, calls), strict=True):
        (alone,) = tensors(model, [call])
        torch.testing.assert_close(answer, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", TEXTUAL)
def test_guidance_extrapolates_from_the_negative_past_the_prompt(name: str) -> None:
    model = tiny(name)
    x_t, both = seeded(4, 8, 8), guidance(model, 3.0)
    assert both.negative is not None

    def answer(guidance: Guidance | None) -> Tensor:
        return tensors(model, [DenoiseCall("m", x_t, 0.6, exact=True, guidance=guidance)])[0]

    positive, negative = answer(Guidance(both.prompt)), answer(Guidance(both.negative))
    expected = negative + 3 * (positive - negative)
    if name == "stable-2":  # its schedule ends in noise alone
        output = [(math.cos(0.6) * x_t - x0) / math.sin(0.6) for x0 in (expected, positive)]
        rescaled = rescale_guidance(output[0][None], output[1][None])[0]
        expected = math.cos(0.6) * x_t - math.sin(0.6) * rescaled
    torch.testing.assert_close(answer(both), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(answer(Guidance(both.prompt, both.negative, 1.0)), positive)
    torch.testing.assert_close(answer(None), answer(Guidance(embedded(model, ""))))


def test_a_guided_call_costs_twice_its_pixels_in_a_batch() -> None:
    x_t, prompt = seeded(4, 8, 8), Embedding(seeded(77, 32))
    plain = DenoiseCall("m", x_t, 0.5, guidance=Guidance(prompt), reduction=8)
    guided = DenoiseCall("m", x_t, 0.5, guidance=Guidance(prompt, None, 4.0), reduction=8)
    assert plain.key.pixels == 64 * 64
    assert guided.key == plain.key
    assert (plain.rows, guided.rows) == (1, 2)


def test_a_prompt_is_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(tiny_folder("stable-1"))
    assert isinstance(model, Latent)
    seen: list[int] = []
    hook = model._pipe.text_encoder.register_forward_hook(lambda *_: seen.append(1))
    first, again = embedded(model, PROMPT), embedded(model, PROMPT)
    hook.remove()
    assert first is again
    assert len(seen) == 1
    monkeypatch.setattr("daemon.models.latent._CACHED_PROMPTS", 1)
    embedded(model, NEGATIVE)
    assert embedded(model, PROMPT) is not first


@pytest.mark.parametrize("name", TEXTUAL)
def test_encoding_and_decoding_are_the_autoencoders_own(name: str) -> None:
    vae = stock(PIPELINES[name], tiny_folder(name)).vae
    pixels = [seeded(3, 64, 64, seed=k).clamp(-1, 1) for k in range(2)]
    with torch.no_grad():
        latents = vae.encode(torch.stack(pixels)).latent_dist.mean * vae.config.scaling_factor
        back = vae.decode(latents / vae.config.scaling_factor).sample
    encoded = tensors(tiny(name), [EncodeCall("m", one) for one in pixels])
    torch.testing.assert_close(torch.stack(encoded), latents, atol=1e-4, rtol=1e-4)
    decoded = tensors(tiny(name), [DecodeCall("m", one) for one in latents])
    torch.testing.assert_close(torch.stack(decoded), back, atol=1e-4, rtol=1e-4)


def run(model: Model, first: Tensor, angles: list[float], guide: Guidance) -> Tensor:
    denoiser = Denoiser("m", native_tiles(8), guide, 8)

    def predict(x_t: Tensor, t: float) -> ModelCalls[Tensor]:
        return denoise_tiles(denoiser, x_t, t, exact=True)

    return drive(
        sample(first, Trajectory(angles, SAMPLERS["ddim"]), predict, lambda k: first), model
    )


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_run_gives_the_latent_of_the_stock_pipeline(tmp_path: Path, prediction: str) -> None:
    folder = save_stable(
        tmp_path / "sd", prediction, set_alpha_to_one=True, timestep_spacing="trailing"
    )
    pipeline = stock("StableDiffusionPipeline", folder)
    first = seeded(1, 4, 8, 8)
    theirs = pipeline(
        PROMPT, negative_prompt=NEGATIVE, guidance_scale=4.0, num_inference_steps=5, height=64,
        width=64, latents=first.clone(), output_type="latent",
    ).images[0]  # fmt: skip
    alphas = pipeline.scheduler.alphas_cumprod[pipeline.scheduler.timesteps]
    angles = [*(math.acos(math.sqrt(float(alpha))) for alpha in alphas), 0.0]
    model = loaded(folder)
    ours = run(model, first[0], angles, guidance(model, 4.0))
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def test_guidance_is_rescaled_where_the_schedule_ends_in_noise_alone(tmp_path: Path) -> None:
    folder = save_stable(
        tmp_path / "sd",
        "v_prediction",
        rescale_betas_zero_snr=True,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
    pipeline = stock("StableDiffusionPipeline", folder)
    first = seeded(1, 4, 8, 8)
    theirs = pipeline(
        PROMPT, negative_prompt=NEGATIVE, guidance_scale=6.0, guidance_rescale=0.7,
        num_inference_steps=4, height=64, width=64, latents=first.clone(), output_type="latent",
    ).images[0]  # fmt: skip
    alphas = pipeline.scheduler.alphas_cumprod[pipeline.scheduler.timesteps]
    angles = [*(math.acos(math.sqrt(float(alpha))) for alpha in alphas), 0.0]
    model = loaded(folder)
    assert isinstance(model, Latent)
    assert model._schedule.ends_in_noise
    ours = run(model, first[0], angles, guidance(model, 6.0))
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=2e-3)


def test_an_autoencoder_works_in_single_precision_where_bf16_would_show_bands() -> None:
    model = loaded(tiny_folder("stable-1"))
    assert isinstance(model, Latent)
    vae = model._pipe.vae
    assert vae.config.force_upcast
    assert _decodes_in_float32(torch.bfloat16, vae)
    assert _decodes_in_float32(torch.float16, vae)
    vae.register_to_config(force_upcast=False)
    assert _decodes_in_float32(torch.bfloat16, vae)
    assert not _decodes_in_float32(torch.float16, vae)


@pytest.mark.filterwarnings("ignore:(.|\\n)*clip_sample:FutureWarning")
@pytest.mark.parametrize("bound", [{"thresholding": False}, {"thresholding": True}])
def test_latents_are_never_clipped_whatever_the_scheduler_says(
    tmp_path: Path, bound: dict[str, Any]
) -> None:
    model = loaded(save_stable(tmp_path / "sd", clip_sample=True, **bound))
    call = DenoiseCall("m", 20 * seeded(4, 8, 8), 0.1)
    (estimate,) = tensors(model, [call])
    (exact,) = tensors(model, [replace(call, exact=True)])
    assert float(estimate.abs().max()) > 10
    torch.testing.assert_close(estimate, exact, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers")
@pytest.mark.parametrize("negative", [NEGATIVE, None])
def test_a_run_of_xl_gives_the_latent_of_the_stock_pipeline(
    tmp_path: Path, negative: str | None
) -> None:
    folder = save_xl(tmp_path / "xl")
    pipeline = stock("StableDiffusionXLPipeline", folder)
    pipeline.scheduler.set_timesteps(5)
    sigmas = [float(sigma) for sigma in pipeline.scheduler.sigmas]
    first, began = seeded(1, 4, 8, 8), float(pipeline.scheduler.init_noise_sigma)
    theirs = pipeline(
        PROMPT, negative_prompt=negative, guidance_scale=4.0, num_inference_steps=5, height=64,
        width=64, latents=first.clone(), output_type="latent",
    ).images[0]  # fmt: skip
    model = loaded(folder)
    guide = guidance(model, 4.0, negative=negative is not None)
    angles = [math.atan(sigma) for sigma in sigmas]
    assert all(t > s for t, s in pairwise(angles))
    ours = run(model, first[0] * began / math.hypot(1, sigmas[0]), angles, guide)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "class_name", ["StableDiffusionInpaintPipeline", "StableDiffusionPipeline"]
)
def test_a_run_of_an_inpainting_checkpoint_gives_the_latent_of_the_stock_pipeline(
    tmp_path: Path, class_name: str
) -> None:
    options = {"set_alpha_to_one": True, "timestep_spacing": "trailing"}
    folder = save_stable_inpaint(tmp_path / "sd", class_name, **options)
    model, traits = loaded(folder), traits_of(folder)
    assert (traits.uses, traits.told_mask) == (("latent-inpaint",), True)
    pipeline = stock("StableDiffusionInpaintPipeline", folder)
    picture, mask = seeded(3, 64, 64).clamp(-1, 1), torch.zeros(64, 64)
    mask[16:40, 24:48] = 1
    guide = guidance(model, 4.0)
    space = WorkingSpace(Denoiser("m", native_tiles(8), guide, 8), traits)
    told = drive(space.told(picture, mask), model)
    assert told is not None
    assert told.shape == (5, 8, 8)
    first = seeded(1, 4, 8, 8)
    theirs = pipeline(
        PROMPT, negative_prompt=NEGATIVE, guidance_scale=4.0, num_inference_steps=4, height=64,
        width=64, image=picture[None] / 2 + 0.5, mask_image=mask[None, None], strength=1.0,
        masked_image_latents=told[None, 1:], latents=first.clone(), output_type="latent",
    ).images[0]  # fmt: skip
    alphas = pipeline.scheduler.alphas_cumprod[pipeline.scheduler.timesteps]
    angles = [*(math.acos(math.sqrt(float(alpha))) for alpha in alphas), 0.0]

    def predict(x_t: Tensor, t: float) -> ModelCalls[Tensor]:
        return denoise_tiles(space.denoiser, x_t, t, condition=told)

    trajectory = Trajectory(angles, SAMPLERS["ddim"])
    ours = drive(sample(first[0], trajectory, predict, lambda k: first[0]), model)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("channels", [7, 8])
def test_a_unet_of_other_channels_is_refused_before_it_is_loaded(
    tmp_path: Path, channels: int
) -> None:
    folder = save_stable(tmp_path / "sd")
    tiny_unet(in_channels=channels).save_pretrained(folder / "unet")  # type: ignore[operator]
    with pytest.raises(ConfigError, match=f"takes {channels} channels; .* 4, for inpainting 9"):
        traits_of(folder)


def test_networks_that_want_more_than_a_prompt_are_used_as_pipelines(tmp_path: Path) -> None:
    folder = save_stable(tmp_path / "sd")
    tiny_unet(time_cond_proj_dim=8).save_pretrained(folder / "unet")  # type: ignore[operator]
    assert Library().checkpoint(str(folder)).traits.uses == ("image", "inpaint", "text")
    (folder / "scheduler/scheduler_config.json").write_text('{"_class_name": "EDMEulerScheduler"}')
    tiny_unet().save_pretrained(folder / "unet")  # type: ignore[operator]
    edm = Library().checkpoint(str(folder)).traits
    assert (edm.family, edm.uses) == ("pipeline", ("text",)), "its schedule knows no strength"


def test_a_refiner_of_xl_is_used_as_a_pipeline(tmp_path: Path) -> None:
    folder = save_xl(tmp_path / "xl")
    assert Library().checkpoint(str(folder)).traits.family == "latent"
    shutil.rmtree(folder / "text_encoder")
    refiner = traits_of(folder)
    assert (refiner.family, refiner.uses) == ("pipeline", ("image", "inpaint", "text"))


def test_missing_weights_are_a_clear_error(tmp_path: Path) -> None:
    folder = save_stable(tmp_path / "sd")
    (folder / "vae/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ConfigError, match="sd: cannot be loaded"):
        loaded(folder)


def test_a_call_that_it_cannot_answer_is_a_bug() -> None:
    with pytest.raises(TypeError, match="no str"):
        tiny("stable-1").predict(["what?"])


def test_traits_say_the_native_size() -> None:
    traits = tiny_traits("stable-xl")
    assert (traits.side_px, traits.reduction, traits.channels) == (64, 8, 4)
    assert traits.text_encoders == 2


def test_weights_in_half_precision_are_converted_up_for_exact_calls() -> None:
    model = loaded(tiny_folder("stable-1"))
    assert isinstance(model, Latent)
    unet, call = model._pipe.unet, DenoiseCall("m", seeded(4, 8, 8), 0.5)
    (single,) = tensors(model, [call])
    model._dtype = torch.bfloat16
    (half,) = tensors(model, [call])
    assert unet.dtype == torch.bfloat16
    assert half.dtype == torch.float32
    (exact,) = tensors(model, [replace(call, exact=True)])
    assert unet.dtype == torch.float32
    assert float((half - single).abs().mean()) < 0.05
    (again,) = tensors(model, [replace(call, exact=True)])
    assert torch.equal(exact, again)
    (back,) = tensors(model, [call])
    assert torch.equal(back, half)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", TEXTUAL)
def test_a_gpu_answers_exact_calls_in_single_precision(name: str) -> None:
    on_gpu = loaded(tiny_folder(name), "auto", "cuda:0")
    x_t = seeded(4, 8, 8)
    calls = [DenoiseCall("m", x_t, 0.5, exact=True, guidance=guidance(tiny(name), 3.0))]
    (ours,), (theirs,) = tensors(on_gpu, calls), tensors(tiny(name), calls)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
    assert tensors(on_gpu, [DenoiseCall("m", x_t, 0.5)])[0].dtype == torch.float32
