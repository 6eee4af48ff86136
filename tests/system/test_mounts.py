"""Which paths lie on network storage."""

import json
from pathlib import Path

import pytest

from daemon.system.mounts import MountWatch, is_network_path

MOUNTINFO = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/nas rw - nfs4 server:/export rw
31 22 0:41 / /mnt/my\040photos rw,relatime shared:7 master:2 - cifs //nas/photos rw
32 30 8:2 / /mnt/nas/local rw - xfs /dev/sdb1 rw
33 22 0:42 / /mnt/phone rw - fuse.sshfs user@host:/ rw
34 22 8:3 / /mnt/usb rw - fuseblk /dev/sdc1 rw
35 22 8:4 / /mnt/overlaid rw - ext4 /dev/sdd1 rw
36 22 0:43 / /mnt/overlaid rw - 9p share rw
37 22 0:44 / /mnt/rw rw - fuse.fuse-overlayfs overlay rw
38 22 0:45 / /mnt/back\134slash rw - ceph mon:/ rw
a line that is none
"""


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ("/", False),
        ("/home/me/station", False),
        ("/mnt/nas", True),
        ("/mnt/nas/station/inbox", True),
        ("/mnt/nasty", False),
        ("/mnt/my photos/in", True),
        ("/mnt/nas/local/in", False),
        ("/mnt/phone/dcim", True),
        ("/mnt/usb/in", False),
        ("/mnt/overlaid/in", True),
        ("/mnt/rw/in", False),
        ("/mnt/back\\slash/in", True),
    ],
)
def test_the_longest_mount_point_above_a_path_decides(path: str, network: bool) -> None:
    assert is_network_path(Path(path), MOUNTINFO) is network


def test_a_link_counts_as_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "nas").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nas")
    text = f"1 0 8:1 / / rw - ext4 a rw\n2 1 0:4 / {tmp_path}/nas rw - nfs4 server:/ rw\n"
    assert is_network_path(tmp_path / "link/inbox", text)
    assert not is_network_path(tmp_path, text)


def test_a_system_that_tells_of_no_mounts_counts_as_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.system.mounts._MOUNTINFO", Path("/nowhere/mountinfo"))
    assert not is_network_path(Path("/mnt/nas"))


def test_a_temporary_folder_here_is_local(tmp_path: Path) -> None:
    assert not is_network_path(tmp_path)


def test_a_disk_that_is_mounted_no_more_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "mountinfo"
    monkeypatch.setattr("daemon.system.mounts._MOUNTINFO", listed)
    local = "1 0 8:1 / / rw - ext4 a rw\n"
    nas = f"2 1 0:4 / {tmp_path}/nas rw - nfs4 server:/ rw\n"
    (tmp_path / "link").symlink_to(tmp_path / "nas/out")
    listed.write_text(local)
    watch = MountWatch()
    assert not watch.is_gone(tmp_path / "nas/out")
    listed.write_text(local + nas)
    assert not watch.is_gone(tmp_path / "nas/out")
    listed.write_text(local)
    assert watch.is_gone(tmp_path / "nas/out")
    assert watch.is_gone(tmp_path / "link")
    assert not watch.is_gone(tmp_path / "other")
    listed.unlink()
    assert not watch.is_gone(tmp_path / "nas/out")


def test_on_which_disk_a_folder_lay_is_known_after_a_restart_until_the_file_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted, disks = {"/", str(tmp_path / "nas"), str(tmp_path / "bind")}, {str(tmp_path / "nas")}
    monkeypatch.setattr("daemon.system.mounts.mount_points", lambda: frozenset(mounted))
    monkeypatch.setattr("daemon.system.mounts._is_own_disk", lambda point: point in disks)
    out, memory = tmp_path / "nas/out", tmp_path / "mounts.json"
    first = MountWatch(memory)
    for folder in (out, tmp_path / "bind/out", tmp_path / "other"):
        assert not first.is_gone(folder)
    assert json.loads(memory.read_text()) == {str(out): str(tmp_path / "nas")}
    mounted -= {str(tmp_path / "nas"), str(tmp_path / "bind")}
    after = MountWatch(memory)
    assert after.is_gone(out)
    assert after.is_unmounted(out)
    assert not after.is_gone(tmp_path / "bind/out")  # the same disk all the time
    mounted.add(str(tmp_path / "nas"))
    assert not after.is_gone(out)
    memory.unlink()
    assert not after.is_gone(out)
    assert memory.exists()
    mounted.remove(str(tmp_path / "nas"))
    assert after.is_gone(out)
    memory.unlink()
    assert not after.is_gone(out)
    assert not MountWatch(memory).is_gone(out)


@pytest.mark.parametrize("content", ["", "[1]", "{", "\\"])
def test_a_memory_of_disks_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "mounts.json").write_text(content)
    assert not MountWatch(tmp_path / "mounts.json").is_gone(tmp_path / "out")
