"""Packs a folder into a .tar.gz that depends on nothing but names, contents and the given time.

    python3 .ci/pack.py FOLDER ARCHIVE EPOCH

Owners, modes, order and times are fixed, so the same contents give the same bytes on every system and in every folder.
The compressor is the zlib of this Python; the digest of the tar inside, which is printed, does not depend on it.
"""

import gzip
import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path

EXECUTABLES = ("equinix-wif", "equinix-wif.exe", "equinix-wif-serve")


def entry(name, epoch):
    info = tarfile.TarInfo(name)
    info.mtime, info.uid, info.gid, info.uname, info.gname = epoch, 0, 0, "", ""
    return info


def pack(folder, epoch):
    """The bytes of an uncompressed tar, with the folder's own name as the only name at its top."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        paths = [folder, *folder.rglob("*")]
        for path in sorted(paths, key=lambda path: path.relative_to(folder.parent).parts):
            name = path.relative_to(folder.parent).as_posix()
            info = entry(name, epoch)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                sys.exit(f"pack.py: {name} is neither a file nor a folder")
            if path.is_dir():
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            else:
                content = path.read_bytes()
                info.size = len(content)
                info.mode = 0o755 if path.parent == folder and path.name in EXECUTABLES else 0o644
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def main(arguments):
    if len(arguments) != 3 or not arguments[2].isdigit():
        sys.exit("usage: python3 .ci/pack.py FOLDER ARCHIVE EPOCH")
    folder, archive = Path(arguments[0]).resolve(), Path(arguments[1])
    content = pack(folder, int(arguments[2]))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        file.write(content)
    new = archive.with_name(archive.name + ".new")
    new.write_bytes(packed.getvalue())
    os.replace(new, archive)
    print(f"{hashlib.sha256(packed.getvalue()).hexdigest()}  {archive.name}")
    print(f"{hashlib.sha256(content).hexdigest()}  {archive.name.removesuffix('.gz')} (inside)")


if __name__ == "__main__":
    main(sys.argv[1:])
