"""The contract of every family of models, whatever calls it answers."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from daemon.checkpoints.library import WEIGHTS, Library
from daemon.checkpoints.parameter_count import parameter_counts
from daemon.config.model_reference import SHIPPED
from daemon.messages.tasks import Compute, ModelOptions, Offload
from daemon.models.calls import (
    ClipCall,
    ColourCall,
    DamageCall,
    DecodeCall,
    Degradation,
    DenoiseCall,
    EmbedCall,
    Embedding,
    EncodeCall,
    ModelCall,
    PipelineCall,
    PipelineSettings,
    RestoreCall,
    answer_of,
)
from daemon.models.memory import bytes_on_device
from daemon.models.registry import MODELS, Placement, load_model
from daemon.system.errors import ConfigError
from tests.support.checkpoints import tiny_folder
from tests.support.tiny_clip import save_clip
from tests.support.tiny_pipelines import save_sd3

SETTINGS = PipelineSettings("image", 32, 32, steps=2, strength=0.5)


def seeded(index: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(index)).clamp(-1, 1)


MakeCall = Callable[[str, int], ModelCall]
CALLS: dict[str, list[MakeCall]] = {
    "prior": [lambda model, k: DenoiseCall(model, seeded(k, 3, 96, 96), 0.3 + k / 3, exact=True)],
    "restoration": [
        lambda model, k: RestoreCall(model, seeded(k, 3, 24, 32), Degradation(scale=2, sigma=k / 9))
    ],
    "damage": [lambda model, k: DamageCall("damage", seeded(k, 3, 48, 64))],
    "colour": [
        lambda model, k: ColourCall("colour", seeded(k, 1, 64, 96), k / 2, variation=0.5, seed=k)
    ],
    "pixel": [lambda model, k: DenoiseCall(model, seeded(k, 3, 32, 32), 0.3 + k / 3, exact=True)],
    "latent": [
        lambda model, k: DenoiseCall(
            model, seeded(k, 4, 16, 16), 0.3 + k / 3, exact=True, reduction=2
        ),
        lambda model, k: EncodeCall(model, seeded(k, 3, 32, 32)),
        lambda model, k: DecodeCall(model, seeded(k, 4, 16, 16), reduction=2),
        lambda model, k: EmbedCall(model, f"a blue cat {k}"),
    ],
    "pipeline": [
        lambda model, k: PipelineCall(model, SETTINGS, k, f"{k}", image=seeded(k, 3, 32, 32))
    ],
    "clip": [lambda model, k: ClipCall(model, seeded(k, 3, 40, 40), ("a cat", "the old photo"))],
}
"""The kinds of calls of each family: a function of the model and k makes the k-th of a batch."""

BOTH = [(family, kind) for family, kinds in CALLS.items() for kind in range(len(kinds))]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        **{name: WEIGHTS / name for name in SHIPPED},
        "pixel": tiny_folder("pixel-epsilon"),
        "latent": tiny_folder("stable-1"),
        "pipeline": tiny_folder("stable-1"),
        "clip": save_clip(tmp_path_factory.mktemp("clip") / "clip"),
    }


def placement(family: str, folder: Path) -> Placement:
    reference = family if family in SHIPPED else str(folder)
    return Placement(Library().checkpoint(reference), "cpu", ModelOptions(dtype="fp32"))


def test_every_family_is_held_to_the_contract() -> None:
    assert set(CALLS) == set(MODELS)


@pytest.mark.parametrize(("family", "kind"), BOTH)
def test_a_batch_is_answered_in_order_and_as_each_call_alone(
    family: str, kind: int, folders: dict[str, Path]
) -> None:
    model = load_model(placement(family, folders[family]), as_pipeline=family == "pipeline")
    calls = [
        CALLS[family][kind](family if family in SHIPPED else str(folders[family]), k)
        for k in range(3)
    ]
    assert len({call.key for call in calls}) == 1
    together = [answer_of(reply) for reply in model.predict(calls)]
    assert len(together) == 3
    for call, answer in zip(calls, together, strict=True):
        alone = answer_of(model.predict([call])[0])
        ours, single = (a.tokens if isinstance(a, Embedding) else a for a in (answer, alone))
        assert ours.device.type == "cpu"
        assert ours.dtype == torch.float32
        assert torch.allclose(ours, single, atol=1e-4)


@pytest.mark.parametrize("family", [family for family in CALLS if family not in SHIPPED])
def test_a_model_without_safetensors_is_a_configuration_error_that_opens_no_pickle(
    family: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "net"
    shutil.copytree(folders[family], folder)
    for weights in folder.rglob("*.safetensors"):
        name = "diffusion_pytorch_model" if "diffusion" in weights.name else "pytorch_model"
        weights.rename(weights.with_name(f"{name}.bin")).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(ConfigError, match="net"):
        load_model(placement(family, folder), as_pipeline=family == "pipeline")


NETWORKS = [
    ("pixel", "unet"),
    ("latent", "unet"),
    ("latent", "vae"),
    ("latent", "text_encoder"),
    ("pipeline", "text_encoder"),
    ("clip", ""),
]


@pytest.mark.parametrize(("family", "part"), NETWORKS)
def test_missing_weights_are_named_and_never_filled_in(
    family: str, part: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "net"
    shutil.copytree(folders[family], folder)
    (weights,) = (folder / part).glob("*.safetensors")
    tensors = load_file(weights)
    lost = sorted(key for key in tensors if key.endswith("weight"))[:5]
    save_file({k: v for k, v in tensors.items() if k not in lost}, weights, {"format": "pt"})
    message = rf"net: cannot be loaded: its {part} ?weights lack {lost[0]}, .* and 2 more; it needs"
    with pytest.raises(ConfigError, match=message):
        load_model(placement(family, folder), as_pipeline=family == "pipeline")


@pytest.mark.parametrize("family", [*SHIPPED, "pixel", "latent", "pipeline", "clip"])
def test_the_size_known_before_loading_is_what_the_weights_take(
    family: str, folders: dict[str, Path]
) -> None:
    one = placement(family, folders[family])
    as_pipeline = family == "pipeline"
    model = load_model(one, as_pipeline=as_pipeline)
    networks = [m for m in _networks(model) if isinstance(m, nn.Module)]
    taken = sum(p.numel() * p.element_size() for n in networks for p in n.parameters())
    assert taken > 0
    assert bytes_on_device(one, as_pipeline=as_pipeline) == pytest.approx(taken, rel=0.05)


def test_a_unet_driven_step_by_step_counts_in_the_precision_of_exact_calls(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "stable"
    shutil.copytree(folders["latent"], folder)
    shutil.copytree(folder / "text_encoder", folder / "safety_checker")
    checkpoint = Library().checkpoint(str(folder))
    count = parameter_counts(checkpoint)

    def size(*, as_pipeline: bool, offload: Offload = "none") -> int:
        how = ModelOptions(dtype="bf16", offload=offload)
        return bytes_on_device(Placement(checkpoint, "cuda:0", how), as_pipeline=as_pipeline)

    wide = count["unet"] + count["vae"]
    assert size(as_pipeline=False) == 4 * wide + 2 * count["text_encoder"]
    assert size(as_pipeline=True) == 2 * sum(count.values())
    largest = max(4 * count["unet"], 4 * count["vae"], 2 * count["text_encoder"])
    assert size(as_pipeline=False, offload="model") == largest
    assert size(as_pipeline=False, offload="group") < 2 * max(count.values())


def test_a_checkpoint_that_is_only_a_pipeline_counts_in_its_own_precision(tmp_path: Path) -> None:
    checkpoint = Library().checkpoint(str(save_sd3(tmp_path / "sd3")))
    placed = Placement(checkpoint, "cuda:0", ModelOptions(dtype="bf16"))
    assert bytes_on_device(placed, as_pipeline=False) == bytes_on_device(placed, as_pipeline=True)


def test_offloaded_models_count_what_is_on_the_device_at_a_time(
    folders: dict[str, Path],
) -> None:
    checkpoint = Library().checkpoint(str(folders["latent"]))

    def size(**options: object) -> int:
        how = ModelOptions(dtype="bf16", **options)  # type: ignore[arg-type]
        return bytes_on_device(Placement(checkpoint, "cuda:0", how), as_pipeline=True)

    assert size() > size(offload="model") > size(offload="group") > 0
    assert Compute().options == ModelOptions()


def _networks(model: object) -> list[object]:
    """The networks that a model holds, wherever it keeps them."""
    found: list[object] = []
    for value in vars(model).values():
        parts = getattr(value, "components", None)
        found += list(parts.values()) if isinstance(parts, dict) else [value]
    return found
