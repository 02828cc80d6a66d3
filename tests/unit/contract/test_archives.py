"""Archives of attackers are refused by member, and nothing is written outside the target folder."""

import gzip
import io
import os
import stat
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from contract import archives
from contract.archives import NoRoomError, list_files, read_files, unpack
from contract.tar_members import ArchiveError
from tests.unit.archives_of_attackers import member, packed, realpath_overflow, zeros_bomb


def unpacked(folder: Path, archive: bytes) -> list[str]:
    (folder / "archive.tar.gz").write_bytes(archive)
    return unpack(folder / "archive.tar.gz", folder / "a" / "out")


def test_unpacked_files_are_readable_for_all_and_writable_for_the_owner(tmp_path: Path) -> None:
    archive = packed(member("./", tarfile.DIRTYPE), member("./sub/", tarfile.DIRTYPE), ("./sub/deep/file", b"x" * 5))
    before = os.umask(0o077)
    try:
        assert unpacked(tmp_path, archive) == ["sub/deep/file"]
    finally:
        os.umask(before)
    out = tmp_path / "a" / "out"
    assert (out / "sub/deep/file").read_bytes() == b"x" * 5
    assert [stat.S_IMODE((out / name).stat().st_mode) for name in ("", "sub", "sub/deep", "sub/deep/file")] == [
        0o755,
        0o755,
        0o755,
        0o644,
    ]


def test_special_modes_and_owners_are_dropped(tmp_path: Path) -> None:
    information = member("tool", size=0)
    information.mode, information.uid = 0o6777, 12_345
    unpacked(tmp_path, packed(information))
    found = (tmp_path / "a" / "out" / "tool").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o644, os.geteuid())


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([member("a", tarfile.SYMTYPE, "b")], "member 'a' is a symbolic link.*--dereference"),
        ([("f", b""), member("a", tarfile.LNKTYPE, "f")], "member 'a' is a hard link.*--hard-dereference"),
        ([member("a", tarfile.CHRTYPE)], "member 'a' is a device"),
        ([member("a", tarfile.BLKTYPE)], "member 'a' is a device"),
        ([member("a", tarfile.FIFOTYPE)], "member 'a' is a FIFO"),
        ([member("a", b"Z")], "member 'a' is of type b'Z'"),
        ([member("a", tarfile.GNUTYPE_SPARSE)], "member 'a' is a sparse file"),
        ([("/etc/victim", b"")], "member '/etc/victim' leads outside"),
        ([("../victim", b"")], r"member '\.\./victim' leads outside"),
        ([("a/../../victim", b"")], "leads outside"),
        ([member("..", tarfile.DIRTYPE)], "leads outside"),
        ([("a/" + "x" * 256, b"")], "a path that is too long"),
        ([("/".join(["x" * 200] * 6), b"")], "a path that is too long"),
        ([("a", b"1"), ("./a", b"2")], "member 'a' comes twice"),
        ([("a", b"1"), member("a", tarfile.DIRTYPE)], "member 'a' comes twice"),
        ([member("a", tarfile.DIRTYPE), ("a", b"1")], "member 'a' comes twice"),
        ([("a/b", b"1"), ("a", b"1")], "member 'a' comes twice"),
        ([("a", b"1"), ("a/b", b"1")], "member 'a/b' is below 'a', which is a file"),
        ([("a", b"1"), ("a/b/c", b"1")], "member 'a/b/c' is below 'a'"),
    ],
)
def test_member_is_refused_by_name(tmp_path: Path, entries: list[Any], words: str) -> None:
    archive = packed(*entries)
    with pytest.raises(ArchiveError, match=words):
        unpacked(tmp_path, archive)
    with pytest.raises(ArchiveError, match=words):
        list_files(io.BytesIO(archive))
    assert not list(tmp_path.rglob("victim"))


def test_links_longer_than_a_path_write_nothing_outside(tmp_path: Path) -> None:
    """The construction of CVE-2025-4517, which the filter "data" of tarfile let through."""
    victim = tmp_path / "victim"
    with pytest.raises(ArchiveError, match="member 'a' is a symbolic link"):
        unpacked(tmp_path, realpath_overflow(victim, b"attacked"))
    assert not victim.exists()


def test_a_folder_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = packed(member("a", tarfile.DIRTYPE), member("a", tarfile.SYMTYPE, str(outside)), ("a/victim", b"x"))
    with pytest.raises(ArchiveError, match="member 'a' is a symbolic link"):
        unpacked(tmp_path, archive)
    assert list(outside.iterdir()) == []


def test_too_many_members_are_refused() -> None:
    archive = packed(*[(str(number), b"") for number in range(4)])
    assert len(list(read_files(io.BytesIO(archive), max_members=4))) == 4
    with pytest.raises(ArchiveError, match="more than 3 files and folders"):
        list(read_files(io.BytesIO(archive), max_members=3))


def test_bomb_is_refused_before_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SMALL_BYTES", 4 << 20)
    with pytest.raises(ArchiveError, match=r"more than [0-9,]+ bytes when member 'model\.json' is unpacked"):
        unpacked(tmp_path, zeros_bomb("model.json", 16 << 20))
    assert list((tmp_path / "a" / "out").iterdir()) == []


def test_endless_zeros_after_the_archive_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SMALL_BYTES", 1 << 20)
    monkeypatch.setattr(archives, "_OVERHEAD_BYTES", 1 << 20)
    archive = gzip.compress(gzip.decompress(packed(("a", b"x"))) + bytes(16 << 20))
    with pytest.raises(ArchiveError, match=r"unpacks to more than [0-9,]+ bytes: pack less"):
        unpacked(tmp_path, archive)


def negative_size(kind: bytes) -> bytes:
    """Return an archive with a member whose size is -512, with which tarfile would go back for
    ever.
    """
    if kind == b"pax":
        information = member("a")
        information.pax_headers = {"size": "-512"}
        return gzip.compress(information.tobuf(tarfile.PAX_FORMAT) + bytes(tarfile.RECORDSIZE))
    body = bytearray(member("a").tobuf())
    body[124:136] = b"\xff" * 10 + (-512 & 0xFFFF).to_bytes(2, "big")
    checksum = sum(body[:148]) + 8 * 32 + sum(body[156:512])
    body[148:156] = f"{checksum:06o}\0 ".encode()
    return gzip.compress(bytes(body) + bytes(tarfile.RECORDSIZE))


@pytest.mark.parametrize("kind", [b"pax", b"gnu"])
def test_negative_size_is_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(ArchiveError, match=r"negative size|not a whole"):
        unpacked(tmp_path, negative_size(kind))


def nested_headers() -> bytes:
    name = member("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=2)
    return gzip.compress((name.tobuf() + b"a\0".ljust(512, b"\0")) * 3_000 + bytes(tarfile.RECORDSIZE))


@pytest.mark.parametrize(
    "archive",
    [
        b"this is not an archive",
        b"",
        gzip.compress(b"neither is this" * 100),
        packed(("a", os.urandom(50_000)))[:-20_000],
        packed(("a", b"x"))[:-8] + b"\0" * 8,
        nested_headers(),
    ],
    ids=["text", "empty", "gzipped text", "cut", "wrong checksum", "nested headers"],
)
def test_damage_is_refused(tmp_path: Path, archive: bytes) -> None:
    with pytest.raises(ArchiveError, match="not a whole gzip-compressed tar archive"):
        unpacked(tmp_path, archive)


def test_full_disk_is_reported_as_such(tmp_path: Path) -> None:
    """On a device that is always full; its content is not an archive's fault."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    target = tmp_path / "out"
    archive = tmp_path / "archive.tar.gz"
    archive.write_bytes(packed(("a", b"x")))
    opened = os.open

    def on_full_device(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        return opened("/dev/full", os.O_WRONLY) if path == target / "a" else opened(path, flags, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archives.os, "open", on_full_device)
        patch.setattr(archives.os, "fchmod", lambda *_: None)
        with pytest.raises(NoRoomError):
            unpack(archive, target)


def record(name: str, value: str) -> bytes:
    """Return a record of a pax header, which begins with its own length."""
    text = f" {name}={value}\n"
    length = len(text) + 2
    length = len(text) + len(str(length))
    return f"{length}{text}".encode()


def extended(body: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    return member("header", kind, size=len(body)).tobuf() + body + bytes(-len(body) % 512)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (extended(b"1" * 200_000), "pax header is damaged"),
        (extended(b"99 path=a\n"), "pax header is damaged"),
        (extended(b"10 path=ab\0\n"), "pax header is damaged"),
        (extended(record("size", "9" * 30)), "size that is not a number"),
        (extended(record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0")), "'a' is a sparse file"),
        (extended(record("path", "../a")), r"'\.\./a' leads outside"),
        (extended(record("path", "../a"), tarfile.XGLTYPE), r"'\.\./a' leads outside"),
        (extended(bytes(300_000)), "has a header of 300,000 bytes"),
    ],
    ids=["digits", "too long", "no end", "size", "sparse", "path", "common path", "large"],
)
def test_extended_headers_that_keep_tarfile_busy_are_refused_at_once(header: bytes, words: str) -> None:
    """The digits took tarfile's expressions 90 seconds, and the map of a sparse file takes
    gigabytes.
    """
    content = b"9999999\n" + b"0\n" * (1 << 20)
    archive = header + member("a", size=len(content)).tobuf() + content + bytes(-len(content) % 512 + 1024)
    started = time.process_time()
    with pytest.raises(ArchiveError, match=words):
        list_files(io.BytesIO(gzip.compress(archive)))
    assert time.process_time() - started < 1


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_large_ids_are_read_in_each_format(tmp_path: Path, form: int) -> None:
    body = io.BytesIO()
    content = b"x" * 700
    names = [f"{'é' * 60}/{'b' * 120}/file", "short", "t" * 100]
    with tarfile.open(fileobj=body, mode="w:gz", format=form) as tar:
        for name in names:
            information = member(name, size=len(content))
            information.uid, information.mtime = 1 << 40, 1.5
            tar.addfile(information, io.BytesIO(content))
    assert unpacked(tmp_path, body.getvalue()) == sorted(names)
    assert {(tmp_path / "a" / "out" / name).read_bytes() for name in names} == {content}
