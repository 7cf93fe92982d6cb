"""Archives that must not be unpacked, made byte by byte where the ordinary libraries would not write them.

``HOSTILE`` maps a story to a function that returns (archive bytes, name of the entry that has to be refused).
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Attack = Callable[[], tuple[bytes, str]]
_GOOD = ("demo/__init__.py", b"A = 1\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipMember:
    """A zip's entry as it is to stand in the file; None means "as it really is"."""

    name: bytes
    content: bytes = b"x"
    mode: int = 0o100644
    flags: int = 0x800
    method: int = 8
    local_name: bytes | None = None
    local_crc: int | None = None
    local_size: int | None = None
    told_size: int | None = None
    told_crc: int | None = None
    packed: bytes | None = None
    at: int | None = None
    """Where the directory says its local header is."""


def zip_of(members: Sequence[ZipMember], *, write: Sequence[ZipMember] | None = None) -> bytes:
    """A zip with exactly these headers; ``write`` (default: all) are those that really get a local entry."""
    body = bytearray()
    directory = bytearray()
    offsets: dict[int, int] = {}
    for member in members:
        packed = _packed(member)
        told_size = len(member.content) if member.told_size is None else member.told_size
        crc = zlib.crc32(member.content) if member.told_crc is None else member.told_crc
        offset = len(body)
        if write is None or member in write:
            local_name = member.name if member.local_name is None else member.local_name
            local_crc = crc if member.local_crc is None else member.local_crc
            local_size = told_size if member.local_size is None else member.local_size
            body += struct.pack(
                "<4s5H3I2H", b"PK\x03\x04", 20, member.flags, member.method, 0, 0x5000, local_crc, len(packed),
                local_size, len(local_name), 0,
            )  # fmt: skip
            body += local_name + packed
        offsets[id(member)] = offset if member.at is None else member.at
        directory += struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", 0x0314, 20, member.flags, member.method, 0, 0x5000, crc, len(packed),
            told_size, len(member.name), 0, 0, 0, 0, member.mode << 16, offsets[id(member)],
        )  # fmt: skip
        directory += member.name
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return bytes(body + directory) + end


def _packed(member: ZipMember) -> bytes:
    if member.packed is not None:
        return member.packed
    if member.method == 0:
        return member.content
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(member.content) + deflate.flush()


def good() -> ZipMember:
    """A harmless first entry: nothing of it may be written either."""
    return ZipMember(name=_GOOD[0].encode(), content=_GOOD[1])


def zip_with(*members: ZipMember) -> bytes:
    """A zip with a harmless entry and ``members``."""
    return zip_of([good(), *members])


def tar_with(*infos: tuple[tarfile.TarInfo, bytes], compress: bool = True) -> bytes:
    """A tar.gz with a harmless entry and ``infos``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in [(_info(_GOOD[0]), _GOOD[1]), *infos]:
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    raw = buffer.getvalue()
    return gzip.compress(raw, mtime=0) if compress else raw


def _info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def _zip_name(name: str, raw: bytes | None = None) -> Attack:
    return lambda: (zip_with(ZipMember(name=name.encode() if raw is None else raw)), name)


def _tar_name(name: str) -> Attack:
    return lambda: (tar_with((_info(name), b"x")), name)


def _zip_names(*names: str) -> Attack:
    return lambda: (zip_with(*(ZipMember(name=name.encode()) for name in names)), names[-1])


def _tar_names(*names: str) -> Attack:
    return lambda: (tar_with(*((_info(name), b"x") for name in names)), names[-1])


def _zip_link(name: str, target: str, *before: tuple[str, str]) -> Attack:
    links = [*before, (name, target)]
    members = [ZipMember(name=path.encode(), content=to.encode(), mode=0o120777) for path, to in links]
    return lambda: (zip_with(*members), name)


def _tar_link(name: str, target: str, *before: tuple[str, str]) -> Attack:
    links = [*before, (name, target)]
    return lambda: (tar_with(*((_info(path, tarfile.SYMTYPE, to), b"") for path, to in links)), name)


def _tar_kind(kind: bytes, link: str = "") -> Attack:
    return lambda: (tar_with((_info("demo/odd", kind, link), b"")), "demo/odd")


def _zip_kind(mode: int) -> Attack:
    return lambda: (zip_with(ZipMember(name=b"demo/odd", mode=mode)), "demo/odd")


def _below_a_link_zip() -> tuple[bytes, str]:
    link = ZipMember(name=b"demo/data", content=b".", mode=0o120777)
    return zip_with(link, ZipMember(name=b"demo/data/x.py")), "demo/data/x.py"


def _below_a_link_tar() -> tuple[bytes, str]:
    link = (_info("demo/data", tarfile.SYMTYPE, "."), b"")
    return tar_with(link, (_info("demo/data/x.py"), b"x")), "demo/data/x.py"


def _lying_bomb() -> tuple[bytes, str]:
    zeros = bytes(64 << 20)
    return zip_with(ZipMember(name=b"demo/zeros", content=zeros, told_size=100, local_size=100)), "demo/zeros"


def _honest_bomb_zip() -> tuple[bytes, str]:
    return zip_with(ZipMember(name=b"demo/zeros", content=bytes(64 << 20))), "demo/zeros"


def _bomb_tar() -> tuple[bytes, str]:
    return tar_with((_info("demo/zeros"), bytes(64 << 20))), "demo/zeros"


def _overlap() -> tuple[bytes, str]:
    """Two names for one local entry (the whole of a better zip bomb)."""
    first = ZipMember(name=b"demo/a", content=b"a" * 1000)
    start = len(zip_of([good()], write=None)) - (46 + len(_GOOD[0]) + 22)
    second = ZipMember(name=b"demo/a", content=b"a" * 1000, at=start)
    return zip_of([good(), first, second], write=[good(), first]), "demo/a"


def _quoted_overlap() -> tuple[bytes, str]:
    """An entry that lies inside of another one's stored content (Fifield's quoting)."""
    inner_packed = _packed(ZipMember(name=b"demo/inner", content=b"i" * 500))
    inner = ZipMember(name=b"demo/inner", content=b"i" * 500)
    header = struct.pack(
        "<4s5H3I2H", b"PK\x03\x04", 20, 0x800, 8, 0, 0x5000, zlib.crc32(b"i" * 500), len(inner_packed), 500, 10, 0
    )
    outer = ZipMember(name=b"demo/outer", content=header + b"demo/inner" + inner_packed, method=0)
    listed = ZipMember(name=inner.name, content=inner.content, at=30 + len(outer.name))
    return zip_of([outer, listed], write=[outer]), "demo/inner"


def _wrong_local_name() -> tuple[bytes, str]:
    return zip_with(ZipMember(name=b"demo/a.py", local_name=b"demo/b.py")), "demo/a.py"


def _wrong_local_size() -> tuple[bytes, str]:
    return zip_with(ZipMember(name=b"demo/a.py", content=b"abc", local_size=7)), "demo/a.py"


def _wrong_local_crc() -> tuple[bytes, str]:
    return zip_with(ZipMember(name=b"demo/a.py", content=b"abc", local_crc=7)), "demo/a.py"


def _encrypted() -> tuple[bytes, str]:
    return zip_with(ZipMember(name=b"demo/secret", flags=0x801)), "demo/secret"


def _trailing_bytes() -> tuple[bytes, str]:
    packed = _packed(ZipMember(name=b"x", content=b"abc")) + b"hidden"
    return zip_with(ZipMember(name=b"demo/a.py", content=b"abc", packed=packed)), "demo/a.py"


def _nul_zip() -> tuple[bytes, str]:
    return zip_with(ZipMember(name=b"demo/a.py\0.txt")), "demo/a.py\0.txt"


def _pax_nul() -> tuple[bytes, str]:
    info = _info("demo/plain")
    info.pax_headers = {"path": "demo/a\0b"}
    return tar_with((info, b"x")), "demo/a\0b"


def _sparse() -> tuple[bytes, str]:
    info = _info("demo/odd", tarfile.GNUTYPE_SPARSE)
    return tar_with((info, b"")), "demo/odd"


def _folder_with_content() -> tuple[bytes, str]:
    return zip_with(ZipMember(name=b"demo/folder/", mode=0o40755)), "demo/folder/"


def _hard_link(target: str, *before: tuple[tarfile.TarInfo, bytes]) -> Attack:
    return lambda: (tar_with(*before, (_info("demo/hard", tarfile.LNKTYPE, target), b"")), "demo/hard")


def _hard_link_to_link() -> tuple[bytes, str]:
    link = (_info("demo/soft", tarfile.SYMTYPE, "__init__.py"), b"")
    return _hard_link("demo/soft", link)()


def _many_hard_links() -> tuple[bytes, str]:
    """A small file's many copies: 40 MB of an archive of some kilobytes."""
    big = (_info("demo/big"), bytes(1 << 20))
    links = [(_info(f"demo/l{number:02}", tarfile.LNKTYPE, "demo/big"), b"") for number in range(40)]
    data = tar_with(big, *links)
    return data, ""


HOSTILE: dict[str, Attack] = {
    "zip absolute path": _zip_name("/etc/passwd"),
    "tar absolute path": _tar_name("/etc/passwd"),
    "zip dot-dot": _zip_name("../outside"),
    "tar dot-dot": _tar_name("../outside"),
    "zip dot-dot inside": _zip_name("demo/../../outside"),
    "tar dot-dot that stays in": _tar_name("demo/../demo/x"),
    "zip backslash": _zip_name("demo\\..\\..\\outside"),
    "tar backslash": _tar_name("demo\\x"),
    "zip drive letter": _zip_name("C:/windows/x"),
    "tar drive letter": _tar_name("c:x"),
    "tar UNC path": _tar_name("//server/share/x"),
    "zip NUL": _nul_zip,
    "tar NUL in a pax name": _pax_nul,
    "zip newline": _zip_name("demo/a\nb"),
    "tar escape sequence": _tar_name("demo/\x1b[2J"),
    "zip C1 control": _zip_name("demo/a\x9bb"),
    "zip CON": _zip_name("demo/CON"),
    "tar nul.py": _tar_name("demo/nul.py"),
    "zip com1 with a space": _zip_name("demo/com1 .txt"),
    "zip superscript lpt": _zip_name("demo/LPT².txt"),
    "zip trailing dot": _zip_name("demo/x."),
    "tar trailing space": _tar_name("demo/x /y"),
    "zip .git": _zip_name(".git/hooks/post-checkout"),
    "tar .git deep down": _tar_name("demo/.git/config"),
    "zip .GIT": _zip_name("demo/.GIT/config"),
    "zip .git as HFS+ reads it": _zip_name("demo/.g\u200cit/config"),
    "tar .git with a byte order mark": _tar_name("demo/\ufeff.git/config"),
    "zip .git in full width": _zip_name("demo/．git/config"),
    "zip git~1": _zip_name("demo/git~1/config"),
    "tar GIT~2": _tar_name("demo/GIT~2/config"),
    "zip .git stream": _zip_name("demo/.git::$INDEX_ALLOCATION/config"),
    "zip .git with a space": _zip_name("demo/.git /config"),
    "zip .git with dots": _zip_name("demo/.git. ./config"),
    "zip other stream": _zip_name("demo/x.py:hidden"),
    "zip same name twice": _zip_names("demo/x.py", "demo/x.py"),
    "tar same name twice": _tar_names("demo/x.py", "./demo//x.py"),
    "zip case collision": _zip_names("demo/x.py", "demo/X.py"),
    "tar case collision of folders": _tar_names("demo/lib/x.py", "demo/Lib/y.py"),
    "zip NFC and NFD": _zip_names("demo/caf\u00e9", "demo/cafe\u0301"),
    "zip NFKC": _zip_names("demo/file", "demo/\ufb01le"),
    "zip sharp s": _zip_names("demo/strasse", "demo/stra\u00dfe"),
    "zip ignorable": _zip_names("demo/ab", "demo/a\u200bb"),
    "zip file and folder": _zip_names("demo/x", "demo/x/y"),
    "tar folder and file": _tar_names("demo/x/y", "demo/x"),
    "zip long component": _zip_name("demo/" + "n" * 256),
    "zip long component in bytes": _zip_name("demo/" + "\u4e2d" * 86),
    "tar long path": _tar_name("demo/" + "folder/" * 150 + "x"),
    "zip link out": _zip_link("demo/out", "../../outside"),
    "tar link out": _tar_link("demo/out", "../../outside"),
    "tar absolute link": _tar_link("demo/out", "/etc"),
    "zip link with a backslash": _zip_link("demo/out", "..\\..\\x"),
    "tar link to a drive": _tar_link("demo/out", "c:/x"),
    "zip link into .git": _zip_link("demo/hook", ".git/hooks/pre-commit"),
    "tar link out through links": _tar_link("demo/out", "deep/../..", ("demo/deep", "."), ("demo/more", "deep")),
    "zip link out through a chain": _zip_link("demo/b", "a/../..", ("demo/sub/up", ".."), ("demo/a", "sub/up")),
    "tar links in a circle": _tar_link("demo/a", "a/x"),
    "zip file below a link": _below_a_link_zip,
    "tar file below a link": _below_a_link_tar,
    "tar hard link out": _hard_link("../../etc/passwd"),
    "tar hard link absolute": _hard_link("/etc/passwd"),
    "tar hard link to nothing": _hard_link("demo/missing"),
    "tar hard link to a link": _hard_link_to_link,
    "tar character device": _tar_kind(tarfile.CHRTYPE),
    "tar block device": _tar_kind(tarfile.BLKTYPE),
    "tar FIFO": _tar_kind(tarfile.FIFOTYPE),
    "tar unknown kind": _tar_kind(b"Z"),
    "tar sparse file": _sparse,
    "zip FIFO": _zip_kind(0o010644),
    "zip device": _zip_kind(0o020644),
    "zip socket": _zip_kind(0o140644),
    "zip bomb, honest": _honest_bomb_zip,
    "zip bomb that lies": _lying_bomb,
    "tar bomb": _bomb_tar,
    "zip overlapping entries": _overlap,
    "zip quoted entries": _quoted_overlap,
    "zip other name in its header": _wrong_local_name,
    "zip other size in its header": _wrong_local_size,
    "zip other checksum in its header": _wrong_local_crc,
    "zip bytes behind a content": _trailing_bytes,
    "zip encrypted": _encrypted,
    "zip folder with a content": _folder_with_content,
}


def many_entries(count: int) -> bytes:
    """A zip of ``count`` empty files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(count):
            archive.writestr(f"demo/{number}", b"")
    return buffer.getvalue()


def many_hard_links() -> bytes:
    """A tar.gz of one megabyte of zeros and 40 hard links to it."""
    return _many_hard_links()[0]


def damaged() -> dict[str, bytes]:
    """Archives that are not hostile, only broken: each has to be an ArchiveError."""
    sound_zip = zip_with(ZipMember(name=b"demo/x.py", content=b"print(1)\n" * 100))
    sound_tar = tar_with((_info("demo/x.py"), b"print(1)\n" * 1000), compress=False)
    packed = gzip.compress(sound_tar, mtime=0)
    middle = bytearray(sound_tar)
    middle[1024 + 148 : 1024 + 156] = b"garbage!"
    wrong_crc = zip_with(ZipMember(name=b"demo/x.py", content=b"abc", told_crc=7, local_crc=7))
    huge_header = bytearray(tarfile.TarInfo("demo/x").tobuf(tarfile.GNU_FORMAT))
    huge = tarfile.TarInfo("././@LongLink")
    huge.type, huge.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    return {
        "empty file": b"",
        "text": b"<!DOCTYPE html><html>Not found</html>" * 20,
        "zip cut in half": sound_zip[: len(sound_zip) // 2],
        "zip without its last bytes": sound_zip[:-5],
        "zip with a wrong checksum": wrong_crc,
        "zip of an unknown method": zip_with(ZipMember(name=b"demo/x", method=99)),
        "zip cut inside a member": zip_with(ZipMember(name=b"demo/x.py", content=b"abc" * 99, packed=b"\x4b\x4c")),
        "zip without entries": zip_of([]),
        "tar cut in a file": sound_tar[: 512 * 6],
        "tar cut in a header": sound_tar[: 1024 + 100],
        "tar cut at a header": sound_tar[:1024],
        "tar damaged in the middle": bytes(middle),
        "tar with a giant header": huge.tobuf(tarfile.GNU_FORMAT) + bytes(huge_header) + bytes(1024),
        "tar of endless long names": tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT) + _long_names(3000) + bytes(1024),
        "tar.gz cut": packed[: len(packed) // 2],
        "tar.gz without its trailer": packed[:-6],
        "tar.gz with a wrong checksum": packed[:-8] + b"\0\0\0\0" + packed[-4:],
        "tar.gz followed by text": packed + b"garbage",
        "bzip2 of nothing known": b"BZh9" + b"\0" * 100,
        "xz cut": b"\xfd7zXZ\0" + b"\0" * 20,
    }


def _long_names(count: int) -> bytes:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 4
    return (info.tobuf(tarfile.GNU_FORMAT) + b"abc\0" + bytes(508)) * count
