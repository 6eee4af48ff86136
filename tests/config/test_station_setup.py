import errno
import grp
import os
import stat
from pathlib import Path

import pytest

from daemon.config.station_setup import known_recipes, make_station, open_station
from daemon.service.startup import prepare
from daemon.system.errors import AccessError, CannotWriteError, ConfigError


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to any group")
def test_folders_of_a_new_station_belong_to_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = next(one for one in grp.getgrall() if one.gr_gid not in (0, os.getegid()))
    monkeypatch.setenv("RESTORED_GROUP", group.gr_name)
    station = make_station(tmp_path / "station")
    folders = [station.root, *(path for path in station.root.rglob("*") if path.is_dir())]
    assert {path.stat().st_gid for path in folders} == {group.gr_gid}


def test_an_unknown_group_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTORED_GROUP", "no-such-group")
    with pytest.raises(ConfigError, match="no-such-group"):
        make_station(tmp_path / "station")
    assert not (tmp_path / "station").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to any group")
def test_an_inbox_older_than_the_group_setting_is_opened_to_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_station(tmp_path)
    group = next(g for g in grp.getgrall() if g.gr_gid != 0)
    monkeypatch.setenv("RESTORED_GROUP", group.gr_name)
    make_station(tmp_path)
    status = (tmp_path / "inbox" / "denoise").stat()
    assert (status.st_gid, stat.S_IMODE(status.st_mode) & 0o2070) == (group.gr_gid, 0o2070)


def test_a_station_for_which_no_space_is_left_is_named_and_gets_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> int:
        path.touch()  # a name takes no space, what was to be written does
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(CannotWriteError, match="/station: No space left on device; free some"):
        make_station(tmp_path / "station")
    assert not (tmp_path / "station" / "restored.toml").exists()


def test_settings_and_recipes_can_come_from_a_folder_that_is_only_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    (config / "recipes").mkdir(parents=True)
    (config / "restored.toml").write_text("settle_s = 7\n")
    (config / "recipes" / "attic.toml").write_text('[[steps]]\nkind = "denoise"\n')
    monkeypatch.setenv("RESTORED_CONFIG", str(config))
    station = make_station(tmp_path / "station")
    assert open_station(station.root)[1].settle_s == 7
    assert "attic" in [recipe.name for recipe in known_recipes(station)]
    assert (station.inbox / "attic").is_dir()
    assert not (station.root / "restored.toml").exists()
    assert not (station.root / "recipes").exists()
    assert sorted(path.name for path in config.rglob("*")) == [
        "attic.toml", "recipes", "restored.toml",
    ]  # fmt: skip


def test_a_config_folder_that_is_missing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTORED_CONFIG", str(tmp_path / "cofnig"))
    with pytest.raises(ConfigError, match=r"RESTORED_CONFIG: .*cofnig is not a folder"):
        open_station(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to any group")
def test_the_group_may_leave_requests_and_not_write_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = next(g for g in grp.getgrall() if g.gr_gid != 0)
    monkeypatch.setenv("RESTORED_GROUP", group.gr_name)
    station = make_station(tmp_path)
    requests, answers = station.requests.stat(), station.answers.stat()
    assert (requests.st_gid, stat.S_IMODE(requests.st_mode)) == (group.gr_gid, 0o2775)
    assert (answers.st_gid, stat.S_IMODE(answers.st_mode)) == (group.gr_gid, 0o755)


def test_the_group_writes_in_the_inbox_and_the_requests_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0)
    root = tmp_path / "station"
    root.mkdir()
    root.chmod(0o2755)
    monkeypatch.setenv("RESTORED_UMASK", "0002")
    try:
        station = make_station(root)
        prepare(*open_station(root))
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]}
    shared = {path for path, mode in modes.items() if mode & 0o022}
    assert shared == {station.inbox, *station.inbox.iterdir(), station.requests}
    assert {modes[path] for path in shared} == {0o2775}


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL])
def test_a_group_that_may_not_be_given_files_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path, user: int, group: int) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setenv("RESTORED_GROUP", grp.getgrgid(os.getegid()).gr_name)
    station, settings = open_station(tmp_path / "station")
    make_station(station.root)
    monkeypatch.setattr(os, "chown", refuse)
    for attempt in (lambda: make_station(tmp_path / "new"), lambda: prepare(station, settings)):
        with pytest.raises(AccessError, match=r"setting `group` names.*set Group= in a drop-in"):
            attempt()
