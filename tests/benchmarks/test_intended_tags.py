"""Tags that a result is meant to have otherwise than its original."""

from benchmarks.intended_tags import reason_for


def test_a_tag_may_differ_for_a_reason_or_not_at_all() -> None:
    assert reason_for("IFD0:Orientation", ()).startswith("the size of the result")
    assert reason_for("IFD0:Make", ()) == ""
    assert reason_for("XMP-dc:Creator", ()) == ""


def test_what_is_left_out_must_be_noted() -> None:
    note = "what a camera or a program put beside the picture was left out: APP1 FLIR"
    assert reason_for("FLIR:Emissivity", ()) == ""
    assert reason_for("FLIR:Emissivity", (note,)) == "parts that stand beside the picture"
