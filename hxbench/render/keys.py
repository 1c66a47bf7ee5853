"""Ed25519 keys in files of PEM: made, read, and refused with a line where they are something else.

Imported where a key is needed, and only there: without the package `cryptography` that raises InputError.
"""

import hashlib
import os
from pathlib import Path

from hxbench.errors import DirectoryError, InputError

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError:
    raise InputError("signatures need the package cryptography: pip install 'hxbench[sign]'") from None

LARGEST = 1 << 16  # bytes of a key's file; a key has less than 200
_MARK = b"PRIVATE KEY-----"


def generate(private: Path, public: Path) -> str:
    """Makes a pair of keys, each in a new file, the private one for this user only, and returns their keyid.

    Raises: DirectoryError when one of the files is there already, or cannot be written.
    """
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise DirectoryError(
                f"{path}: is there already; a key is never overwritten: choose another --out"
            )
    key = Ed25519PrivateKey.generate()
    _create(
        private,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        0o600,
    )
    _create(public, _encoded(key.public_key(), serialization.Encoding.PEM), 0o644)
    return keyid(key.public_key())


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DirectoryError(f"{path}: cannot be written: {error.strerror}") from None


def private_key(path: Path) -> Ed25519PrivateKey:
    """Returns the key to sign with.

    Raises: InputError when the file holds none, or one that asks for a password.
    """
    content = _content(path)
    if _MARK not in content:
        raise InputError(f"{path}: expected a private key, as `hxbench keygen` makes it, in PEM")
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except TypeError:
        raise InputError(
            f"{path}: the key has a password, and hxbench asks for none: use one without"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{path}: not readable as a private key in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path}: expected an Ed25519 key, as `hxbench keygen` makes it, got another kind")
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """Returns the key to check with.

    Raises: InputError when the file holds none.
    """
    content = _content(path)
    if _MARK in content:
        raise InputError(f"{path}: is a private key; pass the public one, which was made beside it")
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{path}: not readable as a public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path}: expected an Ed25519 key, as `hxbench keygen` makes it, got another kind")
    return key


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST)
    except OSError as error:
        raise InputError(f"{path}: the key cannot be read: {error.strerror}") from None


def keyid(key: Ed25519PublicKey) -> str:
    """Returns the SHA-256 of a public key's DER, which names it."""
    return hashlib.sha256(_encoded(key, serialization.Encoding.DER)).hexdigest()


def _encoded(key: Ed25519PublicKey, form: serialization.Encoding) -> bytes:
    return key.public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)


def made_by(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    """Whether the holder of the key made this signature over these bytes."""
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True
