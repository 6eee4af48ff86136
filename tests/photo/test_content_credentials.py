"""Content credentials: signed with a certificate made here, read back with the library."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import c2pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from daemon.config.recipe import Recipe
from daemon.engine.result_writer import stage
from daemon.messages.tasks import Job
from daemon.photo import Header, Photo, Picture
from daemon.photo.content_credentials import Signing, check_signing, signing_problems
from daemon.photo.notes import NoteKind, note_of
from daemon.photo.output_formats import OUTPUTS
from daemon.system.errors import ConfigError
from daemon.system.files import sha256_of
from tests.support.photos import PNG, cat, read

NOW = datetime.now(UTC)
DENOISE = {"kind": "denoise"}


def named(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Archive"),
        ]
    )


def certificate(
    key: ec.EllipticCurvePrivateKey,
    root: ec.EllipticCurvePrivateKey,
    *,
    is_root: bool,
    until: datetime,
) -> bytes:
    """A certificate as C2PA wants it, in PEM."""
    usage = dict.fromkeys(
        (
            *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("encipher_only", "decipher_only"),
        ),
        False,
    )
    usage |= {"digital_signature": not is_root, "key_cert_sign": is_root, "crl_sign": is_root}
    builder = (
        x509.CertificateBuilder()
        .subject_name(named("root" if is_root else "signer"))
        .issuer_name(named("root"))
        .public_key(key.public_key())
        .serial_number(1 + is_root)
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(is_root, None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False
        )
    )
    if not is_root:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
    return builder.sign(root, hashes.SHA256()).public_bytes(Encoding.PEM)


def signing_in(folder: Path, *, until: datetime = NOW + timedelta(days=30)) -> Signing:
    """Files of a certificate with its root, and of its key."""
    root, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    made = Signing(folder / "certificate.pem", folder / "key.pem")
    chain = [(key, False, until), (root, True, NOW + timedelta(days=60))]
    parts = [certificate(one, root, is_root=root_, until=end) for one, root_, end in chain]
    made.certificate.write_bytes(b"".join(parts))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made.key.write_bytes(pem)
    made.key.chmod(0o600)
    return made


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    return signing_in(tmp_path_factory.mktemp("keys"))


def job(*originals: Path, step: dict[str, str] = DENOISE, **output: object) -> Job:
    photos = tuple(Photo(path, path.name, "d", Header("JPEG", 60, 40, "RGB")) for path in originals)
    recipe = Recipe.model_validate({"name": "r", "steps": [step], "output": output})
    return Job("0" * 64, recipe, photos, "result", 7, ("d" * 64,) * len(recipe.models))


def manifest_of(path: Path) -> dict[str, Any]:
    """The manifest of a signed file, whose signature must hold."""
    reader = c2pa.Reader(path)
    assert reader.get_validation_state() == "Valid"
    said = json.loads(reader.json())
    # Nobody vouches for a root that was made here.
    assert [one["code"] for one in said["validation_status"]] == ["signingCredential.untrusted"]
    manifest: dict[str, Any] = said["manifests"][said["active_manifest"]]
    return manifest


def actions_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    (found,) = [one for one in manifest["assertions"] if one["label"].startswith("c2pa.actions")]
    actions: list[dict[str, Any]] = found["data"]["actions"]
    return actions


def original(folder: Path, name: str = "grandma.jpg") -> Path:
    path = folder / name
    Image.fromarray(cat()).save(path)
    return path


@pytest.mark.parametrize("format", [one.name for one in OUTPUTS])
def test_a_result_of_every_format_is_signed_and_still_the_same_picture(
    tmp_path: Path, signing: Signing, format: str
) -> None:
    made = job(original(tmp_path), format=format)
    (staged,), notes = stage([Picture(cat(), False, PNG)], made, tmp_path, signing)
    assert (notes, staged.signed, staged.digest) == ((), True, sha256_of(staged.path))
    manifest = manifest_of(staged.path)
    opened, edited = actions_of(manifest)
    assert (opened["action"], edited["action"]) == ("c2pa.opened", "c2pa.edited")
    assert edited["digitalSourceType"].endswith("/algorithmicallyEnhanced")
    assert edited["description"] == f"denoise; record {made.provenance_digest}"
    (parent,) = manifest["ingredients"]
    assert (parent["title"], parent["relationship"]) == ("grandma.jpg", "parentOf")
    unsigned = tmp_path / "unsigned"
    unsigned.mkdir()
    (plain,), _ = stage([Picture(cat(), False, PNG)], made, unsigned)
    assert (read(staged.path).pixels == read(plain.path).pixels).all()
    assert not list(tmp_path.glob("*.signed"))


def test_a_manifest_of_the_original_is_carried_unless_metadata_is_stripped(
    tmp_path: Path, signing: Signing
) -> None:
    first = job(original(tmp_path), format="jpeg")
    (signed,), _ = stage([Picture(cat(), False, PNG)], first, tmp_path, signing)
    inside = c2pa.Reader(signed.path)
    label = json.loads(inside.json())["active_manifest"]
    for metadata, carried in (("keep", label), ("strip-location", None)):
        folder = tmp_path / metadata
        folder.mkdir()
        again = job(signed.path, format="png", metadata=metadata)
        (staged,), notes = stage([Picture(cat(), False, PNG)], again, folder, signing)
        assert notes == ()
        (parent,) = manifest_of(staged.path)["ingredients"]
        assert parent.get("active_manifest") == carried


def test_results_between_two_photographs_and_of_prompts_are_created(
    tmp_path: Path, signing: Signing
) -> None:
    pair = job(original(tmp_path, "a.jpg"), original(tmp_path, "b.jpg"))
    (staged,), _ = stage([Picture(cat(), False, PNG)], pair, tmp_path, signing)
    manifest = manifest_of(staged.path)
    assert [one["action"] for one in actions_of(manifest)] == ["c2pa.created", "c2pa.placed"]
    assert {one["relationship"] for one in manifest["ingredients"]} == {"componentOf"}
    prompts = job(step={"kind": "generate", "model": "a/b"})
    (staged,), _ = stage([Picture(cat(), False, PNG)], prompts, tmp_path, signing)
    (created,) = actions_of(manifest_of(staged.path))
    assert created["digitalSourceType"].endswith("/trainedAlgorithmicMedia")


def test_a_certificate_that_expires_meanwhile_leaves_a_result_unsigned_with_a_note(
    tmp_path: Path,
) -> None:
    expired = signing_in(tmp_path, until=NOW - timedelta(days=3))
    made = job(original(tmp_path))
    (staged,), notes = stage([Picture(cat(), False, PNG)], made, tmp_path, expired)
    assert not staged.signed
    day = f"{NOW - timedelta(days=3):%Y-%m-%d %H:%M}"
    assert notes == (f"not signed: c2pa_certificate expired on {day} UTC; ask for a new one",)
    assert note_of(notes[0]).kind is NoteKind.CREDENTIALS
    assert (read(staged.path).pixels == cat()).all()


def test_provenance_false_leaves_a_result_unsigned(tmp_path: Path, signing: Signing) -> None:
    made = job(original(tmp_path), provenance=False)
    (staged,), notes = stage([Picture(cat(), False, PNG)], made, tmp_path, signing)
    assert (staged.signed, notes) == (False, ())


def test_what_is_sound_has_no_problems(signing: Signing) -> None:
    assert signing_problems(signing) == []
    check_signing(signing)
    check_signing(None)


def test_what_keeps_results_from_being_signed_is_told_with_what_helps(tmp_path: Path) -> None:
    made, other = (signing_in(folder(tmp_path, name)) for name in ("made", "other"))
    (tmp_path / "text.pem").write_text("no certificate")
    missing = tmp_path / "none.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    secret = tmp_path / "secret.pem"
    locked = BestAvailableEncryption(b"password")
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    secret.chmod(0o600)
    expired = signing_in(folder(tmp_path, "expired"), until=NOW - timedelta(days=3))
    wrong = {
        "which cannot be read: No such file": replace(made, certificate=missing),
        "which cannot be read: no PEM": replace(made, certificate=tmp_path / "text.pem"),
        "which cannot be read: Is a directory": replace(made, key=tmp_path),
        "is not the certificate of the key": replace(made, key=other.key),
        "name PEM files without password": replace(made, key=secret),
        "expired on": expired,
    }
    for said, signing in wrong.items():
        (line,) = signing_problems(signing)
        assert said in line
        with pytest.raises(ConfigError, match=said):
            check_signing(signing)
    made.key.chmod(0o644)
    (line,) = signing_problems(made)
    assert "which everybody may open; chmod o=" in line


def folder(above: Path, name: str) -> Path:
    made = above / name
    made.mkdir()
    return made


def test_a_missing_library_is_told_with_its_extra(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert signing_problems(signing) == [
        "c2pa_certificate needs the library c2pa; install the extra: pip install 'restored[c2pa]'"
    ]
