"""Files of LoRAs, looked at before anything is loaded."""

from pathlib import Path

from daemon.checkpoints.parameter_count import read_header
from daemon.system.errors import ConfigError
from daemon.system.files import shown


def check_adapter(reference: str) -> None:
    """See that a LoRA is there and is one.

    Args:
        reference: Path of its file.

    Raises:
        ConfigError: It is not.
    """
    path = Path(reference).expanduser()
    if not path.is_file():
        raise ConfigError(f"LoRA {shown(path)}: no such file")
    if not any("lora" in name.lower() for name in read_header(path)):
        raise ConfigError(
            f"LoRA {shown(path)}: holds no low-rank weights; a checkpoint is named as model"
        )
