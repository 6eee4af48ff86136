"""Which paths lie on network storage."""

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
