"""Makes a container image for two processors out of a release's archives, as a folder in the OCI's layout:

    python3 .ci/image.py VERSION FOLDER-WITH-ARCHIVES NEW-FOLDER REPOSITORY-URL EPOCH

It holds the static program, its licences, an empty /tmp and nothing else: no shell, no user database, no certificates
(the program has its own). It runs as user 65532. Nothing in it depends on this machine or on time, so its digest, which is printed, can be
computed by anybody from the archives.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from datetime import datetime, timezone
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import release  # noqa: E402

PROCESSORS = {"amd64": "x86_64-unknown-linux-musl", "arm64": "aarch64-unknown-linux-musl"}
LICENCES = ("LICENSE-APACHE", "LICENSE-MIT")
USER = "65532:65532"
OCI = "application/vnd.oci.image"


def files_of(archive):
    """The program and its licences."""
    folder = archive.name[: -len(".tar.gz")]
    wanted = {f"{folder}/equinix-wif": ("equinix-wif", 0o555)}
    wanted.update({f"{folder}/{name}": (f"licenses/{name}", 0o444) for name in LICENCES})
    found = {}
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if member.name in wanted and member.isfile():
                path, mode = wanted[member.name]
                found[path] = (mode, tar.extractfile(member).read())
    if len(found) != len(wanted):
        raise release.Refusal(f"{archive.name} has not all of {', '.join(wanted)}")
    return found


def layer(files, epoch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        folders = {path.rsplit("/", 1)[0]: 0o555 for path in files if "/" in path}
        folders["tmp"] = 0o1777
        for path in sorted([*folders, *files]):
            info = tarfile.TarInfo(path)
            info.mtime = epoch
            if path in files:
                info.mode, content = files[path]
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type, info.mode = tarfile.DIRTYPE, folders[path]
                tar.addfile(info)
    return buffer.getvalue()


class Layout:
    def __init__(self, folder):
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, kind, content, **more):
        if not isinstance(content, bytes):
            content = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content), **more}


def body(arguments):
    if len(arguments) != 5 or not arguments[4].isdigit():
        raise release.Refusal("usage: python3 .ci/image.py VERSION FOLDER-WITH-ARCHIVES NEW-FOLDER REPOSITORY-URL EPOCH")
    version, dist, out = release.checked_version(arguments[0]), Path(arguments[1]), Path(arguments[2])
    url, epoch = arguments[3], int(arguments[4])
    created = datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {
        "org.opencontainers.image.created": created,
        "org.opencontainers.image.description": "Gives a CI job an Equinix access token without any stored secret",
        "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
        "org.opencontainers.image.source": url,
        "org.opencontainers.image.title": release.NAME,
        "org.opencontainers.image.version": version,
    }
    layout = Layout(out)
    manifests = []
    for processor, target in PROCESSORS.items():
        tar = layer(files_of(dist / release.archive(version, target)), epoch)
        packed = io.BytesIO()
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as file:
            file.write(tar)
        config = {
            "architecture": processor,
            "config": {"Entrypoint": ["/equinix-wif"], "Env": ["PATH=/"], "Labels": about, "User": USER, "WorkingDir": "/"},
            "created": created,
            "history": [{"created": created, "created_by": f"the archive for {target}"}],
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": layout.blob(f"{OCI}.config.v1+json", config),
            "layers": [layout.blob(f"{OCI}.layer.v1.tar+gzip", packed.getvalue())],
            "annotations": about,
        }
        platform = {"architecture": processor, "os": "linux"}
        manifests.append(layout.blob(manifest["mediaType"], manifest, platform=platform))
    kind = f"{OCI}.index.v1+json"
    index = layout.blob(kind, {"schemaVersion": 2, "mediaType": kind, "manifests": manifests, "annotations": about})
    named = {**index, "annotations": {"org.opencontainers.image.ref.name": version}}
    (out / "index.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [named]}, sort_keys=True))
    print(index["digest"])


release.main(body)
