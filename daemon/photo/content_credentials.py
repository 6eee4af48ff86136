"""Content credentials (C2PA): results signed with the user's certificate, by the extra `c2pa`.

The library is imported when something is signed. Nothing is asked of the network: no time stamp, no
revocation list, no manifest that lies elsewhere.

Source: C2PA specification 2.1, actions and ingredients.
"""

from __future__ import annotations

import importlib.util
import io
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.photo.provenance import DigitalSource, Provenance
from daemon.system.errors import ConfigError
from daemon.system.files import open_regular, shown

if TYPE_CHECKING:
    from c2pa import Builder, Signer
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_EXTRA = "install the extra: pip install 'restored[c2pa]'"
_SETTINGS = {
    "version": 1,
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
_MIMES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "HEIF": "image/heif",
    "JXL": "image/jxl",
}
"""Types of the formats whose manifests the library reads; of others it takes the digest alone."""

_UNKNOWN_MIME = "application/octet-stream"
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_MAX_PEM_BYTES = 1 << 20


class NotSignedError(Exception):
    """A result could not be signed; the text says why."""


@dataclass(frozen=True)
class Signing:
    """With what results are signed.

    Attributes:
        certificate: File of the certificate and those that vouch for it, in PEM, its own first.
        key: File of its private key, in PEM, without a password.
    """

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Ingredient:
    """A photograph that a result was made of.

    Attributes:
        path: The file.
        title: Its name.
        format: Name of its format, as in `Header.format`.
        beneath: The folder below which no link is followed to it, or None.
        has_manifest: Whether its own manifest is carried, with all that it says.
    """

    path: Path
    title: str
    format: str
    beneath: Path | None = None
    has_manifest: bool = True


def sign_file(
    path: Path, mime: str, made: Provenance, ingredients: Sequence[Ingredient], signing: Signing
) -> None:
    """Sign a result: write its signed copy, synced, and put that in its place.

    Args:
        path: The result.
        mime: Its type, such as "image/png".
        made: How it was made.
        ingredients: The photograph that it was; or the two that it was made between; or none.
        signing: With what.

    Raises:
        NotSignedError: The certificate, its key or the format does not allow it.
        OSError: The disk is full or refuses.
    """
    part = path.with_name(f"{path.name}.signed")
    signer = _signer(signing)
    try:
        with path.open("rb") as source, part.open("w+b") as target:
            _sign(signer, mime, (source, target), made, ingredients)
            target.flush()
            os.fsync(target.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)


def signing_problems(signing: Signing) -> list[str]:
    """What keeps results from being signed, one line each, with what would help."""
    if importlib.util.find_spec("c2pa") is None:
        return [f"c2pa_certificate needs the library c2pa; {_EXTRA}"]
    found = []
    for setting, path in (("c2pa_certificate", signing.certificate), ("c2pa_key", signing.key)):
        try:
            mode = path.stat().st_mode
            _pem(path)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            found.append(
                f"{setting} is {shown(path)}, which cannot be read: {why}; "
                "name a PEM file that the user of the daemon can read"
            )
            continue
        if setting == "c2pa_key" and stat.S_IMODE(mode) & 0o007:
            found.append(
                f"c2pa_key is {shown(path)}, which everybody may open; "
                f"chmod o= {shown(path)}, and ask for another certificate if others had access"
            )
    return found or _trial(signing)


def check_signing(signing: Signing | None) -> None:
    """See before anything is computed that results can be signed, where they shall be.

    Raises:
        ConfigError: They cannot.
    """
    found = [] if signing is None else signing_problems(signing)
    if found:
        raise ConfigError("\n".join(found))


def _trial(signing: Signing) -> list[str]:
    """What the library says of signing a small picture."""
    from PIL import Image

    picture = io.BytesIO()
    Image.new("L", (8, 8)).save(picture, "PNG")
    made = Provenance("restored", (), "", "", DigitalSource.GENERATED)
    try:
        picture.seek(0)
        _sign(_signer(signing), "image/png", (picture, io.BytesIO()), made, ())
    except NotSignedError as error:
        return [f"c2pa_certificate {shown(signing.certificate)}: {error}"]
    return []


def _sign(
    signer: Signer,
    mime: str,
    streams: tuple[io.BufferedIOBase, io.BufferedIOBase],
    made: Provenance,
    ingredients: Sequence[Ingredient],
) -> None:
    import c2pa

    context = c2pa.Context.from_dict(_SETTINGS)
    source, target = streams
    try:
        builder = c2pa.Builder(_manifest(made, ingredients), context)
        for number, ingredient in enumerate(ingredients):
            _add_ingredient(builder, ingredient, number, is_parent=len(ingredients) == 1)
        builder.sign(signer, mime, source, target)
    except c2pa.C2paError as error:
        raise NotSignedError(f"cannot be signed: {error}") from error


def _manifest(made: Provenance, ingredients: Sequence[Ingredient]) -> dict[str, object]:
    name, _, version = made.software.partition(" ")
    agent = {"name": name, **({"version": version} if version else {})}
    does = {
        "softwareAgent": agent,
        "digitalSourceType": made.source.uri,
        "description": f"{', '.join(made.steps)}; record {made.record_digest}",
    }
    labels = [str(number) for number in range(len(ingredients))]
    given = {"parameters": {"ingredientIds": labels}}
    match len(ingredients):
        case 0:
            actions = [{"action": "c2pa.created", **does}]
        case 1:
            actions = [{"action": "c2pa.opened", **given}, {"action": "c2pa.edited", **does}]
        case _:
            actions = [{"action": "c2pa.created", **does}, {"action": "c2pa.placed", **given}]
    return {
        "claim_generator_info": [agent],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def _add_ingredient(
    builder: Builder, ingredient: Ingredient, number: int, *, is_parent: bool
) -> None:
    import c2pa

    said = {
        "title": ingredient.title,
        "relationship": "parentOf" if is_parent else "componentOf",
        "label": str(number),
    }
    mime = _MIMES.get(ingredient.format, _UNKNOWN_MIME)
    with open_regular(ingredient.path, ingredient.beneath) as file:
        try:
            builder.add_ingredient(said, mime if ingredient.has_manifest else _UNKNOWN_MIME, file)
        except c2pa.C2paError:
            # A photograph whose own manifest cannot be read is an ingredient by its digest.
            file.seek(0)
            builder.add_ingredient(said, _UNKNOWN_MIME, file)


def _signer(signing: Signing) -> Signer:
    """The key with its certificate; both are read each time, so that new ones need no restart.

    Raises:
        NotSignedError: They are missing, of the wrong kind, or out of date.
    """
    try:
        import c2pa
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise NotSignedError(f"the library c2pa cannot be used ({error}); {_EXTRA}") from error
    try:
        certificates, key = _pem(signing.certificate), _pem(signing.key)
        first = x509.load_pem_x509_certificates(certificates)[0]
        private = load_pem_private_key(key, None)
    except (OSError, ValueError, TypeError) as error:
        # cryptography raises a TypeError for a key that has a password.
        raise NotSignedError(f"cannot be used: {error}; name PEM files without password") from error
    if private.public_key() != first.public_key():
        raise NotSignedError(f"is not the certificate of the key {shown(signing.key)}")
    _check_dates(first.not_valid_before_utc, first.not_valid_after_utc)
    try:
        info = c2pa.C2paSignerInfo(_algorithm(private), certificates, key, None)
        return c2pa.Signer.from_info(info)
    except c2pa.C2paError as error:
        raise NotSignedError(f"is refused: {error}") from error


def _check_dates(begin: datetime, end: datetime) -> None:
    now = datetime.now(UTC)
    if now < begin:
        raise NotSignedError(f"is not valid before {begin:%Y-%m-%d %H:%M} UTC; check the clock")
    if now > end:
        raise NotSignedError(f"expired on {end:%Y-%m-%d %H:%M} UTC; ask for a new one")


def _algorithm(key: PrivateKeyTypes) -> str:
    """C2PA's name of the algorithm of a key.

    Raises:
        NotSignedError: C2PA knows none for it.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise NotSignedError("has a key that C2PA does not know; use P-256, P-384, Ed25519 or RSA")


def _pem(path: Path) -> bytes:
    """The content of a PEM file, bounded.

    Raises:
        OSError: It cannot be read, or is no regular file.
        ValueError: It is no PEM.
    """
    with path.open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("no regular file")
        content = file.read(_MAX_PEM_BYTES)
    if b"-----BEGIN" not in content:
        raise ValueError("no PEM")
    return content
