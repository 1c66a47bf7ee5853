"""Keys in files: made once, readable by one user, and anything else refused with a line."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from hxbench import cli
from hxbench.errors import DirectoryError, InputError
from hxbench.render import dsse, keys

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "mine.key", tmp_path / "mine.pub"
    keys.generate(private, public)
    return private, public


def test_a_pair_belongs_together_and_only_its_owner_reads_the_private_one(pair: tuple[Path, Path]) -> None:
    private, public = pair
    assert 0o600 == private.stat().st_mode & 0o777
    signature = keys.private_key(private).sign(b"hello")
    assert keys.made_by(keys.public_key(public), signature, b"hello")
    assert not keys.made_by(keys.public_key(public), signature, b"hellO")
    assert not keys.made_by(keys.public_key(public), b"", b"hello")


def test_the_keyid_is_the_hash_of_the_public_keys_der() -> None:
    head = bytes.fromhex("302a300506032b6570032100")  # RFC 8410, section 4
    raw = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    assert hashlib.sha256(head + raw).hexdigest() == keys.keyid(key)


def test_openssl_reads_the_keys_and_verifies_what_they_sign(
    pair: tuple[Path, Path], tmp_path: Path, unavailable: Callable[[str], NoReturn]
) -> None:
    if shutil.which("openssl") is None:
        unavailable("no openssl: install it")
    signed, signature = tmp_path / "signed", tmp_path / "signature"
    signed.write_bytes(dsse.encoding(dsse.IN_TOTO, b"{}"))
    signature.write_bytes(keys.private_key(pair[0]).sign(signed.read_bytes()))
    inputs = ["-rawin", "-in", str(signed), "-sigfile", str(signature)]
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(pair[1]), *inputs]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (0, "Signature Verified Successfully\n") == (done.returncode, done.stdout), done.stderr


@pytest.mark.parametrize("name", ["mine.key", "mine.pub"])
def test_a_key_is_never_overwritten(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("there")
    with pytest.raises(DirectoryError, match=rf"{name}: is there already; a key is never overwritten"):
        keys.generate(tmp_path / "mine.key", tmp_path / "mine.pub")
    assert [name] == [path.name for path in tmp_path.iterdir()]
    assert "there" == (tmp_path / name).read_text()


def test_a_link_to_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DirectoryError, match=r"mine\.key: is there already"):
        keys.generate(tmp_path / "mine.key", tmp_path / "mine.pub")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there_is_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match=r"mine\.key: cannot be written: No such file"):
        keys.generate(tmp_path / "none" / "mine.key", tmp_path / "none" / "mine.pub")


def of_another_kind(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "other.key").write_bytes(key.private_bytes(PEM, PKCS8, PLAIN))
    public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "other.pub").write_bytes(public)
    return folder / "other.key", folder / "other.pub"


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    private, public = of_another_kind(tmp_path)
    with pytest.raises(
        InputError, match=r"other\.key: expected an Ed25519 key, as `hxbench keygen` makes it"
    ):
        keys.private_key(private)
    with pytest.raises(
        InputError, match=r"other\.pub: expected an Ed25519 key, as `hxbench keygen` makes it"
    ):
        keys.public_key(public)


def test_the_wrong_half_of_a_pair_is_refused(pair: tuple[Path, Path]) -> None:
    private, public = pair
    with pytest.raises(InputError, match=r"mine\.key: is a private key; pass the public one"):
        keys.public_key(private)
    with pytest.raises(InputError, match=r"mine\.pub: expected a private key, as `hxbench keygen` makes it"):
        keys.private_key(public)


def test_a_key_with_a_password_is_refused(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    locked = key.private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.key").write_bytes(locked)
    with pytest.raises(InputError, match=r"locked\.key: the key has a password, and hxbench asks for none"):
        keys.private_key(tmp_path / "locked.key")


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 100, b"-----BEGIN PUBLIC KEY-----\nMCow\n"])
def test_a_file_that_is_no_public_key_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pub: not readable as a public key in PEM"):
        keys.public_key(tmp_path / "a.pub")


def test_a_private_key_cut_short_is_refused(pair: tuple[Path, Path]) -> None:
    pair[0].write_bytes(pair[0].read_bytes()[:60])
    with pytest.raises(InputError, match=r"mine\.key: not readable as a private key in PEM"):
        keys.private_key(pair[0])


@pytest.mark.parametrize("read", [keys.private_key, keys.public_key])
def test_a_file_that_cannot_be_read_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: the key cannot be read: No such file"):
        read(tmp_path / "none")
    with pytest.raises(InputError, match="the key cannot be read: Is a directory"):
        read(tmp_path)


def test_the_command_says_what_to_do_with_each_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert 0 == cli.run_command(["keygen"])
    keyid = keys.keyid(keys.public_key(Path("hxbench.pub")))
    private, public = capfd.readouterr().out.splitlines()
    assert "hxbench.key: private, without a password: keep it off the machine under test" == private
    assert public.startswith(f"hxbench.pub: public, keyid {keyid[:16]}…: hand it to whoever verifies")
    assert 2 == cli.run_command(["keygen"])
    assert "hxbench.key: is there already" in capfd.readouterr().err


def test_without_the_package_a_line_says_how_to_get_it(tmp_path: Path) -> None:
    code = "import sys; sys.modules['cryptography'] = None; from hxbench.cli import main; main()"
    command = [sys.executable, "-c", code, "keygen"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    said = "hxbench: signatures need the package cryptography: pip install 'hxbench[sign]'\n"
    assert (2, said) == (done.returncode, done.stderr)
    assert [] == list(tmp_path.iterdir())
