"""LoRAs on a tiny Stable Diffusion: as diffusers has them, and without traces in other calls."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.utils import state_dict_utils
from safetensors.torch import save_file
from torch import Tensor

from daemon.checkpoints.adapters import check_adapter
from daemon.checkpoints.library import Library, adapter_file
from daemon.config.model_reference import Adapter, adapted_reference, split_adapted
from daemon.config.recipe import read_recipe
from daemon.config.steps import Lora, Restyle
from daemon.engine.model_cache import ModelKey, model_key
from daemon.models.calls import DenoiseCall, EmbedCall, Embedding, Guidance
from daemon.models.latent import Latent
from daemon.models.registry import Model
from daemon.restorers.registry import check_step
from daemon.system.errors import ConfigError, UnusableModelError
from tests.support.answering import seeded
from tests.support.checkpoints import loaded, stock, tensors, tiny_folder
from tests.support.tiny_pipelines import save_xl

peft = pytest.importorskip("peft")


def write_lora(folder: Path, name: str, seed: int, *, kohya: bool = False) -> Path:
    """A LoRA of random weights for the tiny Stable Diffusion."""
    pipeline = stock("StableDiffusionPipeline", tiny_folder("stable-1"))
    config = peft.LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"])
    pipeline.unet.add_adapter(config)
    torch.manual_seed(seed)
    layers: dict[str, Any] = {
        key: 0.5 * torch.randn_like(value)
        for key, value in peft.get_peft_model_state_dict(pipeline.unet).items()
    }
    path = folder / f"{name}.safetensors"
    if kohya:
        prefixed = {f"unet.{key}": value for key, value in layers.items()}
        convert: Any = state_dict_utils.convert_state_dict_to_kohya
        save_file(convert(prefixed), path)
    else:
        pipeline.save_lora_weights(folder, unet_lora_layers=layers, weight_name=path.name)
    return path


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("loras")
    yield {
        "one": write_lora(folder, "one", 1),
        "two": write_lora(folder, "two", 2),
        "kohya": write_lora(folder, "kohya", 1, kohya=True),
    }


def answer(model: Model, *adapters: Adapter) -> Tensor:
    reference = adapted_reference("m", adapters)
    (prompt,) = model.predict([EmbedCall(reference, "a photo")])
    assert isinstance(prompt, Embedding)
    call = DenoiseCall(reference, seeded(4, 8, 8), 0.7, guidance=Guidance(prompt), reduction=8)
    return tensors(model, [call])[0]


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")
def test_loras_act_as_in_diffusers_and_leave_no_trace_in_other_calls(
    loras: dict[str, Path],
) -> None:
    model = loaded(tiny_folder("stable-1"))
    assert isinstance(model, Latent)
    plain = answer(model)
    one, two = (Adapter(str(loras[name]), weight) for name, weight in (("one", 0.8), ("two", 0.5)))
    with_one, with_both = answer(model, one), answer(model, one, two)
    assert torch.equal(answer(model), plain)
    assert torch.equal(answer(model, one), with_one)
    assert float((with_one - plain).abs().max()) > 1e-3
    assert float((with_both - with_one).abs().max()) > 1e-3
    pipeline = stock("StableDiffusionPipeline", tiny_folder("stable-1"))
    for name in ("one", "two"):
        pipeline.load_lora_weights(
            str(loras[name].parent), weight_name=loras[name].name, adapter_name=name
        )
    pipeline.set_adapters(["one", "two"], [0.8, 0.5])
    switched, model._pipe = model._pipe, pipeline
    theirs = answer(model)  # the switch has nothing to change: none are asked for
    model._pipe = switched
    torch.testing.assert_close(with_both, theirs, atol=1e-4, rtol=1e-4)


def test_a_lora_of_kohyas_trainer_acts_as_the_same_one_of_diffusers(loras: dict[str, Path]) -> None:
    model = loaded(tiny_folder("stable-1"))
    theirs = answer(model, Adapter(str(loras["one"]), 1.0))
    torch.testing.assert_close(answer(model, Adapter(str(loras["kohya"]), 1.0)), theirs)


def test_a_lora_for_another_kind_of_checkpoint_is_named_and_other_calls_go_on(
    tmp_path: Path, loras: dict[str, Path]
) -> None:
    model = loaded(save_xl(tmp_path / "xl"))
    plain = answer(model)
    with pytest.raises(UnusableModelError, match=r"LoRA .*one.safetensors with .*xl"):
        answer(model, Adapter(str(loras["one"]), 1.0))
    assert torch.equal(answer(model), plain)


def test_calls_with_other_loras_are_other_batches_of_one_loaded_model() -> None:
    reference = adapted_reference("org/base@v1", [Adapter("/a b/x.safetensors", 0.8)])
    assert split_adapted(reference) == ("org/base@v1", (Adapter("/a b/x.safetensors", 0.8),))
    assert split_adapted("/odd + name/x") == ("/odd + name/x", ())
    with_lora = DenoiseCall(reference, seeded(4, 8, 8), 0.7)
    without = DenoiseCall("org/base@v1", seeded(4, 8, 8), 0.7)
    assert with_lora.key != without.key
    assert model_key(with_lora.key) == model_key(without.key) == ModelKey("org/base@v1")


def test_recipes_name_loras_from_their_folder_and_records_have_their_digests(
    tmp_path: Path, loras: dict[str, Path]
) -> None:
    base = tiny_folder("stable-1")
    (tmp_path / "film.safetensors").write_bytes(loras["one"].read_bytes())
    (tmp_path / "film.toml").write_text(
        f'[[steps]]\nkind = "restyle"\nmodel = "{base}"\n'
        'loras = [{ model = "./film.safetensors", weight = 0.5 }]\n'
    )
    recipe = read_recipe(tmp_path / "film.toml")
    lora = str(tmp_path / "film.safetensors")
    assert recipe.models == (str(base), lora)
    assert recipe.steps[0].adapted_model == f"{base} + {lora}*0.5"
    assert adapter_file(lora) == tmp_path / "film.safetensors"
    _, digests = Library().resolved(recipe)
    (tmp_path / "film.safetensors").write_bytes(loras["two"].read_bytes())
    assert Library().resolved(recipe)[1][0] == digests[0]
    assert Library().resolved(recipe)[1][1] != digests[1]
    check_adapter(lora)


def test_what_is_no_lora_is_refused_before_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"LoRA .*gone.safetensors: no such file"):
        check_adapter(str(tmp_path / "gone.safetensors"))
    save_file({"unet.weight": torch.zeros(2)}, tmp_path / "whole.safetensors")
    with pytest.raises(ConfigError, match="holds no low-rank weights"):
        check_adapter(str(tmp_path / "whole.safetensors"))
    with pytest.raises(ValueError, match="download a LoRA of the Hub"):
        Lora(model="org/lora")
    step = Restyle(loras=(Lora(model="./x.safetensors"),))
    with pytest.raises(ConfigError, match="knows no loras"):
        check_step(step, Library().checkpoint("prior").traits)
