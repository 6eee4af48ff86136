"""LoRAs: low-rank changes of a checkpoint's networks, switched between the calls of a batch.

The networks are loaded once for all recipes; which LoRAs act is decided before each pass. Files of
diffusers and of kohya's trainer are read, safetensors only.

Source: LoRA, arXiv:2106.09685.
"""

import warnings
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from daemon.config.model_reference import Adapter
from daemon.models.registry import Placement
from daemon.system.errors import ConfigError, UnusableModelError
from daemon.system.files import shown


class AdapterSwitch:
    """Lets a pipeline's networks act with some LoRAs or with none.

    Args:
        pipeline: The diffusers pipeline that holds the networks.
        placement: Its checkpoint and options.
    """

    def __init__(self, pipeline: Any, placement: Placement) -> None:  # noqa: ANN401  diffusers is untyped
        self._pipeline = pipeline
        self._placement = placement
        self._loaded: dict[str, str] = {}
        self._acting: tuple[Adapter, ...] = ()

    def use(self, adapters: Sequence[Adapter]) -> None:
        """Let just these LoRAs act, each with its weight; loads those that are not loaded yet.

        Raises:
            UnusableModelError: One cannot be read, or does not fit the checkpoint.
        """
        wanted = tuple(adapters)
        if wanted == self._acting:
            return
        for adapter in wanted:
            if adapter.path not in self._loaded:
                self._loaded[adapter.path] = self._load(Path(adapter.path))
        if wanted:
            self._pipeline.enable_lora()
            names = [self._loaded[adapter.path] for adapter in wanted]
            self._pipeline.set_adapters(names, [adapter.weight for adapter in wanted])
        else:
            self._pipeline.disable_lora()
        self._acting = wanted

    def _load(self, path: Path) -> str:
        """Load a LoRA; gives the name that it has in the pipeline."""
        base = self._placement.checkpoint.reference
        try:
            self._check()
            name = f"lora_{sha256(str(path).encode()).hexdigest()[:16]}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they tell programmers of other formats
                self._pipeline.load_lora_weights(
                    str(path.parent),
                    weight_name=path.name,
                    adapter_name=name,
                    use_safetensors=True,
                    local_files_only=True,
                )
        except (OSError, ValueError, KeyError, RuntimeError, AttributeError, ConfigError) as error:
            why = " ".join(str(error).split())[:300]
            raise UnusableModelError(base, f"LoRA {shown(path)} with {base}: {why}") from error
        known = self._pipeline.get_list_adapters()
        if not any(name in names for names in known.values()):
            raise UnusableModelError(
                base,
                f"LoRA {shown(path)} changes no network of {base}; name one that was trained for "
                "this kind of checkpoint",
            )
        return name

    def _check(self) -> None:
        """See that LoRAs can be loaded at all.

        Raises:
            ConfigError: They cannot.
        """
        try:
            import peft  # noqa: F401
        except ImportError as error:
            raise ConfigError("needs the package peft: pip install 'restored[lora]'") from error
        if not hasattr(self._pipeline, "load_lora_weights"):
            raise ConfigError(f"{type(self._pipeline).__name__} takes no LoRA; leave loras out")
        if self._placement.options.offload == "group" or self._placement.options.compile:
            raise ConfigError('loras need offload = "none" or "model", and compile = false')
