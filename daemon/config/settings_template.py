"""The settings file of a new station: every setting with its meaning, commented out."""

import textwrap

from daemon.config.key_descriptions import Key, keys_of
from daemon.config.settings import Settings

SETTING_GROUPS: dict[str, tuple[str, ...]] = {
    "Decide when a file has arrived": (
        "settle_s",
        "settle_polled_s",
        "arriving_s",
        "rescan_s",
        "pair_wait_s",
    ),
    "Take photographs from other folders": ("watch",),
    "Decide what happens to originals": ("originals",),
    "Keep disks from filling up": (
        "keep_archive_days",
        "keep_archive_gb",
        "keep_free_gb",
        "keep_logs_days",
        "keep_ledger_days",
        "min_free_mb",
    ),
    "Choose where things are stored": ("state_dir", "logs_dir", "models_dir"),
    "Refuse what is too large": ("max_file_mb", "max_input_megapixels", "max_output_megapixels"),
    "Share results with other people": ("file_mode", "group", "umask"),
    "Sign results": ("c2pa_certificate", "c2pa_key"),
    "Choose the devices and their memory": (
        "device",
        "devices",
        "threads",
        "memory_mb",
        "model_memory_mb",
    ),
    "Use the machines of a Ray cluster": (
        "executor",
        "ray_address",
        "ray_workers",
        "ray_gpus_per_worker",
        "files",
    ),
    "Run models of your own": ("dtype", "offload", "compile", "attention", "clip_model"),
    "Handle faults and stop cleanly": (
        "attempts",
        "retry_s",
        "drain_s",
        "stall_s",
        "alive_file",
    ),
    "Look at photographs in a browser": (
        "web_port",
        "web_address",
        "web_hosts",
        "web_token_file",
        "web_proxies",
        "web_user_header",
        "web_roots",
    ),
    "Watch the daemon": ("log_level", "metrics_port", "metrics_address"),
    "Be told of trouble": (
        "notify",
        "notify_file",
        "notify_quiet_s",
        "notify_failures_per_hour",
    ),
}
"""Every setting, grouped by what people want to do; manuals and new stations use this order."""

_WIDTH = 90

_HEADER = """\
# Settings of this station. To change one, remove the # before its name and edit the value.
# A setting that stays commented out has its default, which is the value shown. Where the comment
# says "Not set", the default is to leave it out, and the value shown is an example.
# The environment wins over this file: RESTORED_SETTLE_S=5 is settle_s = 5, and so on.
# `restored check` finds mistakes.
"""


def settings_template() -> str:
    """The text of a new restored.toml. Each line that begins with # and a name can be used."""
    keys = {key.name: key for key in keys_of(Settings)}
    parts = [_HEADER]
    for title, names in SETTING_GROUPS.items():
        parts += [f"# ---- {title} ".ljust(_WIDTH, "-") + "\n", *(_entry(keys[n]) for n in names)]
    return "\n".join(parts)


def _entry(key: Key) -> str:
    """The meaning of a setting and its default, or an example where it has none."""
    comment = "\n".join(textwrap.wrap(key.summary, _WIDTH - 2, break_on_hyphens=False))
    value = key.default if key.default not in ("", "[]") else key.example
    return f"{textwrap.indent(comment, '# ')}\n#{key.name} = {value}\n"
