"""Pipelines of every family, tiny but real: batches, seeds, steps, cancelling, refusals."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers.pipelines import auto_pipeline
from torch import Tensor
from transformers.utils.import_utils import is_torchvision_available

from daemon.checkpoints.library import Library
from daemon.checkpoints.pipeline_calls import CALL_CONVENTIONS, CallConvention, call_convention
from daemon.checkpoints.traits import PIPELINES, PipelineUse
from daemon.messages.tasks import ModelOptions
from daemon.models.calls import PipelineCall, PipelineSettings
from daemon.models.pipeline import Pipeline
from daemon.models.placing import compile_blocks
from daemon.models.registry import Placement, load_model
from daemon.system.errors import CancelError, ConfigError, PhotoError
from tests.support import tiny_flux, tiny_pipelines, tiny_qwen
from tests.support.checkpoints import tensors

SAVES: dict[str, Callable[[Path], Path]] = {
    "stable": tiny_pipelines.save_stable,
    "xl": tiny_pipelines.save_xl,
    "sd3": tiny_pipelines.save_sd3,
    "flux": tiny_flux.save_flux,
    "fill": tiny_flux.save_fill,
    "klein": tiny_flux.save_klein,
    "pix2pix": tiny_pipelines.save_pix2pix,
    "upscale": tiny_pipelines.save_upscale,
    "ldm": tiny_pipelines.save_ldm,
    "kontext": tiny_flux.save_kontext,
    "qwen": tiny_qwen.save_qwen,
    "z-image": tiny_qwen.save_z_image,
}
ASKED: list[tuple[str, PipelineUse]] = [
    ("stable", "text"),
    ("stable", "image"),
    ("xl", "text"),
    ("xl", "image"),
    ("sd3", "text"),
    ("sd3", "image"),
    ("flux", "text"),
    ("flux", "image"),
    ("sd3", "inpaint"),
    ("flux", "inpaint"),
    ("fill", "inpaint"),
    ("klein", "text"),
    ("klein", "edit"),
    ("pix2pix", "edit"),
    ("upscale", "upscale"),
    ("ldm", "upscale"),
    ("kontext", "edit"),
    ("qwen", "text"),
    ("qwen", "image"),
    ("z-image", "text"),
    ("z-image", "image"),
    ("qwen", "inpaint"),
    ("z-image", "inpaint"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pipelines")
    return {name: save(root / name) for name, save in SAVES.items()}


def loaded(folder: Path, tick: Callable[[], None] = lambda: None, device: str = "cpu") -> Pipeline:
    checkpoint = Library().checkpoint(str(folder))
    model = load_model(
        Placement(checkpoint, device, ModelOptions(dtype="fp32"), tick), as_pipeline=True
    )
    assert isinstance(model, Pipeline)
    return model


def asked(use: PipelineUse, seed: int, prompt: str = "a photo", steps: int = 3) -> PipelineCall:
    strength = {"image": 0.5, "inpaint": 1.0}.get(use)
    settings = PipelineSettings(use, 64, 64, steps, strength)
    side = 16 if use == "upscale" else 64
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, side, side, generator=generator) * 2 - 1
    mask = torch.zeros(1, 64, 64)
    mask[..., 24:40, 24:48] = 1
    return PipelineCall(
        "it",
        settings,
        seed,
        prompt,
        "",
        None if use == "text" else image,
        mask if use == "inpaint" else None,
    )


@pytest.mark.parametrize(("name", "use"), ASKED)
def test_a_batch_gives_what_its_pictures_get_alone_and_seeds_decide(
    folders: dict[str, Path], name: str, use: PipelineUse
) -> None:
    steps: list[int] = []
    model = loaded(folders[name], lambda: steps.append(1))
    calls = [asked(use, 1), asked(use, 2, "the red cat")]
    together = tensors(model, calls)
    in_batch = len(steps)
    alone = [tensors(model, [call])[0] for call in calls]
    for batched, single in zip(together, alone, strict=True):
        assert batched.shape == (3, 64, 64)
        assert batched.dtype == torch.float32
        assert -1 <= float(batched.min()) < float(batched.max()) <= 1
        assert torch.allclose(batched, single, atol=1e-4)
    assert len(steps) - in_batch == in_batch * (2 if convention_of(model, use).takes_batches else 1)
    assert not torch.allclose(alone[0], tensors(model, [replace(calls[0], seed=3)])[0], atol=0.01)


def convention_of(model: Pipeline, use: PipelineUse) -> CallConvention:
    return call_convention(type(model._variant(use)).__name__)


@pytest.mark.parametrize(("name", "use"), ASKED)
def test_it_ticks_at_every_step_and_a_cancelled_run_ends_at_the_next(
    folders: dict[str, Path], name: str, use: PipelineUse
) -> None:
    steps: list[int] = []
    cancelled = False

    def tick() -> None:
        steps.append(1)
        if cancelled and len(steps) == 2:
            raise CancelError("not wanted any more")

    model = loaded(folders[name], tick)
    call = asked(use, 1, steps=5)
    before = tensors(model, [call])[0]
    assert len(steps) in ((5,) if use != "image" else (4, 5, 6))
    steps.clear()
    cancelled = True
    with pytest.raises(CancelError):
        tensors(model, [call])
    assert len(steps) == 2
    cancelled = False
    variant = model._variant(use)
    assert "get_timesteps" not in vars(variant), "a cancelled run left something behind"
    assert "step" not in vars(variant.scheduler)
    assert torch.equal(tensors(model, [call])[0], before)


@pytest.mark.parametrize("name", ["stable", "xl", "sd3", "flux", "qwen", "z-image"])
@pytest.mark.parametrize("strength", [0.2, 0.5, 0.8, 1.0])
def test_strength_is_the_angle_where_a_run_begins_whatever_the_schedule(
    folders: dict[str, Path], name: str, strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    model = loaded(folders[name])
    scheduler = model._base.scheduler
    step = type(scheduler).step

    def noted_step(
        self: object, output: Tensor, time: Tensor, *args: object, **kwargs: object
    ) -> object:
        seen.append(float(time))
        return step(self, output, time, *args, **kwargs)

    monkeypatch.setattr(type(scheduler), "step", noted_step)
    call = asked("image", 1)
    settings = replace(call.settings, steps=20, strength=strength)
    tensors(model, [replace(call, settings=settings)])
    assert angle_of(scheduler, seen[0]) == pytest.approx(strength * math.pi / 2, abs=0.1)
    # Leading schedules round their spacing down; one that the size shifts is only guessed.
    assert len(seen) == pytest.approx(20, abs=7 if name == "flux" else 4)


@pytest.mark.parametrize("scheduler", ["LCMScheduler", "TCDScheduler"])
@pytest.mark.parametrize(("strength", "steps"), [(0.5, 4), (1.0, 4), (0.1, 50)])
def test_schedules_distilled_for_few_steps_begin_at_the_angle_too(
    tmp_path: Path, scheduler: str, strength: float, steps: int
) -> None:
    times: list[float] = []
    model = loaded(tiny_pipelines.save_distilled(tmp_path / "lcm", scheduler))
    model._base.unet.register_forward_pre_hook(lambda _, args: times.append(float(args[1])))
    call = asked("image", 1)
    settings = replace(call.settings, steps=steps, strength=strength)
    (picture,) = tensors(model, [replace(call, settings=settings)])
    assert torch.isfinite(picture).all()
    assert 1 <= len(times) <= steps + 1
    wanted = strength * math.pi / 2
    assert angle_of(model._base.scheduler, times[0]) == pytest.approx(wanted, abs=0.2)


def angle_of(scheduler: object, time: float) -> float:
    """Noise of a training time, by the scheduler's own numbers."""
    if type(scheduler).__name__.startswith("FlowMatch"):
        return math.atan2(time / 1000, 1 - time / 1000)
    alpha = float(scheduler.alphas_cumprod[round(time)])  # type: ignore[attr-defined]
    return math.acos(math.sqrt(alpha))


def test_edit_models_are_called_one_by_one(folders: dict[str, Path]) -> None:
    model = loaded(folders["klein"])
    sizes: list[int] = []
    transformer = model._base.transformer
    transformer.register_forward_pre_hook(
        lambda _, args, kwargs: sizes.append(kwargs["hidden_states"].shape[0]), with_kwargs=True
    )
    tensors(model, [asked("edit", 1), asked("edit", 2)])
    assert sizes == [1] * 6


@pytest.mark.parametrize("name", SAVES)
def test_results_have_the_size_that_was_asked_for(folders: dict[str, Path], name: str) -> None:
    """Not that of the training, and not a square: a tile of another size would be cropped."""
    use = next(use for known, use in ASKED if known == name and use != "text")
    settings = PipelineSettings(use, 96, 64, 2, 0.5 if use == "image" else None)
    image = torch.zeros(3, *((16, 24) if use == "upscale" else (64, 96)))
    mask = torch.ones(1, 64, 96) if use == "inpaint" else None
    call = PipelineCall("it", settings, 1, "a photo", "", image, mask)
    (picture,) = tensors(loaded(folders[name]), [call])
    assert picture.shape == (3, 64, 96)


def test_a_pipeline_that_makes_another_size_is_an_error(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        CALL_CONVENTIONS,
        "StableDiffusionPipeline",
        CallConvention(fixed_arguments=(("width", 32),)),
    )
    model = loaded(folders["stable"])
    run = model._arguments
    monkeypatch.setattr(
        model, "_arguments", lambda convention, calls: run(convention, calls) | {"width": 32}
    )
    with pytest.raises(RuntimeError, match="made 32x64 px, asked for 64x64"):
        tensors(model, [asked("text", 1)])


@pytest.mark.parametrize("use", ["text", "image"])
def test_qwen_is_guided_even_without_a_negative_prompt(
    folders: dict[str, Path], use: PipelineUse
) -> None:
    model = loaded(folders["qwen"])
    sizes: list[int] = []
    model._base.transformer.register_forward_hook(lambda *_: sizes.append(1))
    call = asked(use, 1)
    plain = replace(call, settings=replace(call.settings, guidance=1.0))
    guided = replace(call, settings=replace(call.settings, guidance=6.0))
    (one,) = tensors(model, [plain])
    evaluations = len(sizes)
    (other,) = tensors(model, [guided])
    assert len(sizes) == 3 * evaluations, "each step asks for the prompt and against it"
    assert not torch.allclose(one, other, atol=1e-3)


def test_calls_with_and_without_a_negative_prompt_go_in_different_batches(
    folders: dict[str, Path],
) -> None:
    """XL embeds no negative as zeros, and an empty one as a prompt."""
    model = loaded(folders["xl"])
    none = asked("text", 1)
    some = replace(asked("text", 2), negative="blue")
    assert none.key != some.key
    assert some.key == replace(some, negative="red").key
    (alone,) = tensors(model, [none])
    (beside, _) = tensors(model, [none, some])
    assert not torch.allclose(alone, beside, atol=1e-4), "the reason for it is gone"


@pytest.mark.skipif(is_torchvision_available(), reason="its absence is what is tested")
def test_a_pipeline_that_needs_another_package_says_which(tmp_path: Path) -> None:
    folder = tiny_qwen.save_qwen_edit(tmp_path / "edit")
    with pytest.raises(ConfigError, match=r"edit: .*Torchvision.*; install that package"):
        loaded(folder)


@pytest.mark.parametrize("name", SAVES)
def test_compiled_pipelines_answer_as_before_even_in_padded_batches(
    folders: dict[str, Path], name: str
) -> None:
    """Some transformers take lists of pictures and tensors without a batch."""
    use = next(use for known, use in ASKED if known == name)
    calls = [asked(use, seed, steps=1) for seed in range(5)]
    plain, compiled = loaded(folders[name]), loaded(folders[name])
    parts = compiled._base.components
    compile_blocks(parts["unet"] if "unet" in parts else parts["transformer"], backend="eager")
    try:
        for ours, theirs in zip(tensors(compiled, calls), tensors(plain, calls), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-4)
    finally:
        torch._dynamo.reset()


def test_text_and_image_share_the_networks(folders: dict[str, Path]) -> None:
    model = loaded(folders["stable"])
    assert model._variant("text").unet is model._variant("image").unet


def test_a_result_withheld_by_a_safety_checker_is_refused_not_delivered_black(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(folders["stable"])
    kind = type(model._variant("text"))

    def withhold(self: object, image: Tensor, *_: object) -> tuple[Tensor, list[bool]]:
        return image * 0, [True] * len(image)

    monkeypatch.setattr(kind, "run_safety_checker", withhold)
    with pytest.raises(
        PhotoError, match=r"safety checker of .*stable withheld the result"
    ) as caught:
        tensors(model, [asked("text", 1)])
    assert (caught.value.photo, caught.value.remedy) == ("", "try another seed or prompt")


def test_a_torn_single_file_is_a_configuration_error(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    checkpoint = Library().checkpoint(str(folders["stable"]))
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"")
    placement = Placement(replace(checkpoint, file=torn), "cpu")
    with pytest.raises(ConfigError, match=r"model .*stable: "):
        Pipeline(placement)


def test_weights_in_a_format_that_can_run_code_are_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "pickled"
    shutil.copytree(folders["ldm"], folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(ConfigError, match=r"model .*pickled: "):
        loaded(folder)


def text_table() -> dict[str, type]:
    return {c.__name__: c for c in auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}


def inpaint_class(name: str) -> type:
    """diffusers' inpainting variant of a pipeline."""
    tables = (
        auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING,
    )
    kinds = [k for table in tables for k, c in table.items() if c.__name__ == name]
    variant: type = auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING[kinds[0]]
    return variant


@pytest.mark.parametrize("name", PIPELINES)
def test_diffusers_can_do_all_that_the_table_says_of_a_pipeline(name: str) -> None:
    """Every row: the class exists; where it has two variants, diffusers has both."""
    uses = PIPELINES[name].uses
    assert hasattr(diffusers, name)
    if "text" in uses:
        plain = name.replace("Img2Img", "").replace("Inpaint", "")
        assert any(c.__name__ in (name, plain) for c in text_table().values())
    if "inpaint" in uses:
        fills = name.endswith("FillPipeline")
        inpaint = getattr(diffusers, name) if fills else inpaint_class(name)
        assert {"image", "mask_image", "strength"} <= set(parameters(inpaint))
        assert hasattr(inpaint, "get_timesteps")
    if "image" in uses:
        tables = (
            auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
            auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
            auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING,
        )
        kinds = [k for table in tables for k, c in table.items() if c.__name__ == name]
        image = auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING[kinds[0]]
        assert "strength" in parameters(image)
        assert hasattr(image, "get_timesteps")


@pytest.mark.parametrize("name", CALL_CONVENTIONS)
def test_each_call_convention_names_arguments_that_the_pipeline_has(name: str) -> None:
    known = parameters(getattr(diffusers, name))
    row = CALL_CONVENTIONS[name]
    assert row.guidance_argument in known or name == "LDMSuperResolutionPipeline"
    assert {key for key, _ in row.fixed_arguments} <= set(known)
    if row.image == "pillow":
        assert not row.takes_batches
        assert "strength" not in known


@pytest.mark.parametrize("name", [n for n, kind in PIPELINES.items() if "edit" in kind.uses])
def test_edit_pipelines_take_a_picture_and_no_strength(name: str) -> None:
    known = parameters(getattr(diffusers, name))
    assert "image" in known
    assert "strength" not in known


def parameters(pipeline: type) -> Sequence[str]:
    return list(inspect.signature(pipeline.__call__).parameters)


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "use"), ASKED)
def test_on_a_gpu_it_answers_what_the_processor_answers(
    folders: dict[str, Path], name: str, use: PipelineUse
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    call = asked(use, 1)
    (here,) = tensors(loaded(folders[name]), [call])
    (there,) = tensors(loaded(folders[name], device="cuda:0"), [call])
    assert float((here - there).abs().mean()) < 0.02
