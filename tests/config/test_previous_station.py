"""A station that an earlier version made still opens, and its queue keeps its meaning.

`previous/` holds what version 0.1.0 wrote and shipped before its modules were moved into packages.
"""

import shutil
from pathlib import Path

from daemon.config.conditions import Condition
from daemon.config.recipe import SHIPPED_RECIPES, Recipe, load_recipes
from daemon.config.settings import Settings, load_settings
from daemon.config.station_setup import known_recipes, make_station, open_station
from daemon.config.steps import SuperResolve

PREVIOUS = Path(__file__).parent / "previous"

DIGESTS = {
    "colorize": "9616247d309415c5fa1cafdf5db1ca4f4934d3b7b90d983bfae240288d950f72",
    "denoise": "a6a776e8b9410a28a81d39c5402762ec97bf14b1bb3fe33a41910432c97493fb",
    "inpaint": "a1c1c2799d1ca799a461e1b19d18a87857d1d547619e301a2d60935ceff9fe4f",
    "interpolate": "84d53314a49f9c0eeae0c9b20f35716355e5f2fd05d5181b3727f0df908bf59f",
    "old-photo": "bba83d713e6089b1067064ff926af0bca6c38db260e1bedcb54dfb40a00fd117",
    "restyle": "72ccef2e9a2dff9afcc848b78d708a81231e5b849b279cb32361794dd25ac740",
    "scratches": "7f42c5733bbd3a849f93c4836779981dbec6d83e1506a5c9623f262519462f58",
    "super-resolve": "9b944eb21a7d489be7fb7ee045c1212f57bb19272c57b8fa612817c5e0b3cf6c",
    "unfade": "3062e5be16308aafdcbc917908d1b467db27f14b8ba2de591660d0ee0e1b23d6",
}
"""Digests of the shipped recipes as that version made them. They are part of every job's id: with
another digest, what stands in an outbox would be restored again. That of `old-photo` is of
2026-11-28, when colours came from another network and enlargements invented nothing unasked."""

SHIPPED_SINCE = {
    "colorize": "f11c74953b285afbd7a55b9fec6a2862fe52a85b9b0fc32bc3b8f24306859117",
    "old-photo": "e7ea4ad22a0de8d0b80f4461afaaa47bb41cf954bbef4e6834e8ef3fc4c8920f",
    "restore": "2548e1dff2f35883f54d994bb93733aa08589034d720e3a9b1f4ffabdc76b5b1",
    "super-resolve": "a869135983a6f73f6063f6b737ef0b1986f43f6157181265f1542ee84d60e64b",
}
"""Digests of shipped recipes that are new, or say something else since, as no own copy does."""

SETTINGS = """\
settle_s = 3
settle_polled_s = 11
rescan_s = 61
pair_wait_s = 3601
arriving_s = 31
originals = "leave"
state_dir = "/var/lib/state"
logs_dir = "/var/log/restored"
keep_archive_days = 30
keep_archive_gb = 100
keep_free_gb = 10
keep_logs_days = 30
keep_ledger_days = 30
max_file_mb = 100
max_input_megapixels = 100
max_output_megapixels = 100
file_mode = "640"
group = "photos"
umask = "0027"
device = "cuda:1"
threads = 2
memory_mb = 512
clip_model = "openai/clip-vit-base-patch32"
models_dir = "/srv/models"
model_memory_mb = 512
dtype = "bf16"
offload = "group"
compile = true
attention = "flash"
attempts = 4
retry_s = 11
min_free_mb = 201
drain_s = 21
stall_s = 901
alive_file = "/tmp/alive"
metrics_port = 9640
metrics_address = "0.0.0.0"
notify = ["json://example.org"]
notify_file = "/etc/restored/notify"
notify_quiet_s = 3601
notify_failures_per_hour = 11

[[watch]]
path = "/home/anna/scans"
recipe = "old-photo"
outbox = "/home/anna/restored"
originals = "delete"
polled = true
"""
"""Every setting that version knew."""


def test_the_settings_file_and_recipes_of_a_previous_station_load(tmp_path: Path) -> None:
    root = tmp_path / "station"
    shutil.copytree(PREVIOUS, root)
    make_station(root)
    station, settings = open_station(root)
    assert settings == Settings()
    assert (root / "restored.toml").read_text() == (PREVIOUS / "restored.toml").read_text()
    digests = {recipe.name: recipe.digest for recipe in known_recipes(station)}
    assert digests == DIGESTS | {"restore": SHIPPED_SINCE["restore"]}


def test_a_key_that_came_later_changes_a_digest_only_where_it_is_set() -> None:
    given, default, other = (
        Recipe(name="larger", steps=(step,)).digest
        for step in (SuperResolve(), SuperResolve(consistent=False), SuperResolve(consistent=True))
    )
    assert given == default != other


def test_a_condition_that_came_later_changes_a_digest_only_where_it_is_set() -> None:
    given, unset, other = (
        Recipe(name="larger", steps=(SuperResolve(when=(condition,)),)).digest
        for condition in (
            Condition(grey=True),
            Condition(grey=True, blur_above=None),
            Condition(grey=True, blur_above=0.6),
        )
    )
    assert given == unset != other


def test_the_examples_that_a_previous_settings_file_gave_still_load(tmp_path: Path) -> None:
    text = (PREVIOUS / "restored.toml").read_text()
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    written = [line for line in lines if line.startswith("[[") or " = " in line]
    file = tmp_path / "restored.toml"
    file.write_text("\n".join(written))
    settings = load_settings(file)
    assert len(settings.model_fields_set) == 7
    assert settings.watch[0].recipe == "old-photo"


def test_every_setting_of_the_previous_version_is_still_known(tmp_path: Path) -> None:
    file = tmp_path / "restored.toml"
    file.write_text(SETTINGS)
    settings = load_settings(file)
    assert len(settings.model_fields_set) == 42
    for name in settings.model_fields_set:
        assert getattr(settings, name) != getattr(Settings(), name), name


def test_the_shipped_recipes_mean_what_they_meant() -> None:
    assert {recipe.name: recipe.digest for recipe in load_recipes([SHIPPED_RECIPES])} == (
        DIGESTS | SHIPPED_SINCE
    )
