"""The checker of `benchmarks.survival` finds what it is there for: each kind of loss, made here."""

import hashlib
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.survival.invariant import (
    Dropped,
    Found,
    Originals,
    Places,
    changes,
    check,
    digest_of,
    tree_state,
)

PHOTO = b"the original"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    names = ("inbox", "work", "archive", "failed", "outbox")
    inbox, work, archive, failed, outbox = (tmp_path / name for name in names)
    for folder in (inbox, work, archive, failed, outbox):
        folder.mkdir()
    return Places((inbox,), work, (archive,), failed, (outbox,))


def png(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(file, "PNG")
    return file.getvalue()


def dropped(
    content: bytes = PHOTO,
    *,
    lead: bytes = b"",
    originals: Originals = "archive",
    sound: bool = True,
) -> Dropped:
    digest = hashlib.sha256(content).hexdigest()
    of = hashlib.sha256(lead).hexdigest() if lead else digest
    return Dropped(digest, "inbox/a.png", of, sound=sound, originals=originals)


def publish(places: Places, name: str = "a.png", job: str = "1", photo: bytes = PHOTO) -> Path:
    """A result with its record."""
    result = places.outboxes[0] / name
    result.write_bytes(png())
    record = {
        "job": job,
        "inputs": [{"role": "photo", "sha256": hashlib.sha256(photo).hexdigest()}],
        "outputs": [{"file": name, "sha256": digest_of(result), "width": 8, "height": 6}],
    }
    result.with_name(f"{name}.json").write_text(json.dumps(record))
    return result


def archive(places: Places, content: bytes = PHOTO, name: str = "a.png") -> Path:
    path = places.archives[0] / name
    path.write_bytes(content)
    return path


def fail(places: Places, why: str = "it ends early") -> Path:
    path = places.failed / "a.png"
    path.write_bytes(PHOTO)
    if why:
        path.with_name("a.png.error.json").write_text(json.dumps({"why": why}))
    return path


def kinds(found: Found) -> list[str]:
    return [violation.what for violation in found.violations]


def test_a_photograph_with_its_result_and_its_original_in_the_archive_is_well(
    places: Places,
) -> None:
    publish(places)
    archive(places)
    found = check([dropped()], places, at_rest=True)
    assert (kinds(found), len(found.restored), len(found.ended)) == ([], 1, 1)
    assert sorted(path.name for path in found.files) == ["a.png", "a.png", "a.png.json"]


def test_a_sidecar_is_part_of_its_result_and_must_be_whole(places: Places) -> None:
    archive(places)
    record = publish(places).with_name("a.png.json")
    sidecar = places.outboxes[0] / "a.xmp"
    sidecar.write_text("<x:xmpmeta/>")
    assert kinds(check([dropped()], places, at_rest=True)) == ["half-written"]
    named = {"file": "a.xmp", "sha256": digest_of(sidecar)}
    record.write_text(json.dumps(json.loads(record.read_text()) | {"sidecars": [named]}))
    assert kinds(check([dropped()], places, at_rest=True)) == []
    sidecar.unlink()
    assert kinds(check([dropped()], places, at_rest=True)) == ["half-written"]


def test_a_lost_original_is_found(places: Places) -> None:
    publish(places)
    assert kinds(check([dropped()], places, at_rest=True)) == ["lost"]


def test_a_changed_original_is_found(places: Places) -> None:
    publish(places)
    archive(places, PHOTO[:-1])
    assert kinds(check([dropped()], places, at_rest=True)) == ["lost"]


def test_a_lost_result_is_found(places: Places) -> None:
    archive(places)
    assert kinds(check([dropped()], places, at_rest=True)) == ["lost"]


def test_a_lost_result_of_a_deleted_original_is_found(places: Places) -> None:
    assert kinds(check([dropped(originals="delete")], places, at_rest=True)) == ["lost"]
    publish(places)
    assert kinds(check([dropped(originals="delete")], places, at_rest=True)) == []


def test_a_result_that_is_published_twice_is_found(places: Places) -> None:
    publish(places)
    publish(places, "a~1.png")
    archive(places)
    assert kinds(check([dropped()], places, at_rest=True)) == ["doubled"]


def test_a_result_of_another_recipe_is_no_double(places: Places) -> None:
    publish(places)
    publish(places, "a~1.png", job="2")
    archive(places)
    assert kinds(check([dropped()], places, at_rest=True)) == []


def test_a_result_of_something_that_ended_before_is_found(places: Places) -> None:
    publish(places, photo=b"long gone")
    assert kinds(check([], places, at_rest=True)) == ["doubled"]


def test_an_original_in_two_places_is_found_at_rest(places: Places) -> None:
    publish(places)
    archive(places)
    (places.work / "a.png").write_bytes(PHOTO)
    assert "doubled" in kinds(check([dropped()], places, at_rest=True))
    assert kinds(check([dropped()], places, at_rest=False)) == []


def test_a_half_written_result_is_found(places: Places) -> None:
    result = publish(places)
    archive(places)
    result.write_bytes(png()[:-20])
    assert kinds(check([dropped()], places, at_rest=False)) == ["half-written"]


def test_a_result_that_does_not_decode_is_found_though_its_record_names_its_digest(
    places: Places,
) -> None:
    result = publish(places)
    archive(places)
    result.write_bytes(png()[:-30])
    record = result.with_name("a.png.json")
    content = json.loads(record.read_text())
    content["outputs"][0]["sha256"] = digest_of(result)
    record.write_text(json.dumps(content))
    assert kinds(check([dropped()], places, at_rest=True)) == ["half-written"]


def test_a_result_without_a_record_and_a_torn_record_are_found(places: Places) -> None:
    publish(places).with_name("a.png.json").write_text('{"job": "1", "inp')
    archive(places)
    found = check([dropped()], places, at_rest=True)
    assert sorted(kinds(found)) == ["half-written", "half-written", "lost"]


def test_a_failure_needs_a_reason_and_a_sound_photograph_none_at_all(places: Places) -> None:
    fail(places)
    assert kinds(check([dropped(sound=False)], places, at_rest=True)) == []
    assert kinds(check([dropped()], places, at_rest=True)) == ["sound, failed"]
    fail(places, why="").with_name("a.png.error.json").unlink()
    assert kinds(check([dropped(sound=False)], places, at_rest=True)) == ["failed"]


def test_what_stays_in_the_inbox_or_at_work_is_stuck(places: Places) -> None:
    (places.inboxes[0] / "a.png").write_bytes(PHOTO)
    assert kinds(check([dropped()], places, at_rest=True)) == ["stuck"]
    assert kinds(check([dropped()], places, at_rest=False)) == []
    (places.inboxes[0] / "a.png").rename(places.work / "a.png")
    assert "stuck" in kinds(check([dropped()], places, at_rest=True))


def test_an_original_that_is_to_be_left_must_not_be_moved(places: Places) -> None:
    publish(places)
    archive(places)
    left = dropped(originals="leave")
    assert kinds(check([left], places, at_rest=True))[0] == "lost"
    archive(places).rename(places.inboxes[0] / "a.png")
    assert kinds(check([left], places, at_rest=True)) == []


def test_the_reason_of_an_original_that_was_left_names_its_place(places: Places) -> None:
    path = places.inboxes[0] / "a.png"
    path.write_bytes(PHOTO)
    left = dropped(originals="leave", sound=False)
    assert kinds(check([left], places, at_rest=True)) == ["stuck"]
    reason = places.failed / "a.png.error.json"
    reason.write_text(json.dumps({"why": "it ends early", "origin": str(path)}))
    assert kinds(check([left], places, at_rest=True)) == []


def test_a_mask_that_is_not_where_its_photograph_is_is_found(places: Places) -> None:
    publish(places)
    archive(places)
    mask = dropped(b"the mask", lead=PHOTO)
    (places.inboxes[0] / "a.mask.png").write_bytes(b"the mask")
    assert kinds(check([dropped(), mask], places, at_rest=True)) == ["separated"]
    (places.inboxes[0] / "a.mask.png").rename(places.archives[0] / "a.mask.png")
    assert kinds(check([dropped(), mask], places, at_rest=True)) == []


def test_every_change_outside_the_station_is_found(tmp_path: Path) -> None:
    for name in ("same", "changed", "removed", "mode"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("same")
    before = tree_state(tmp_path)
    assert changes(before, tree_state(tmp_path)) == []
    (tmp_path / "changed").write_text("CHANGED")
    (tmp_path / "removed").unlink()
    (tmp_path / "mode").chmod(0o600)
    (tmp_path / "new").mkdir()
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("changed")
    found = [violation.photo for violation in changes(before, tree_state(tmp_path))]
    assert found == ["changed", "link", "mode", "new", "removed"]
