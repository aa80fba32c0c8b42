"""What the scripts of a release share: names, versions, dates, digests. Python 3.9 and its own library suffice."""

import datetime
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True

ROOT = Path(__file__).resolve().parent.parent
NAME = "equinix-wif"

# What a release consists of. The action, the component and `cargo binstall` count on these names.
TARGETS = (
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-musl",
)

# The local service's, which has archives of its own for every Unix. Action and component do not run it, so their digests stand
# in SHA256SUMS alone.
SERVICE = "equinix-wif-serve"
SERVICE_TARGETS = tuple(target for target in TARGETS if "windows" not in target)

BEGIN = "# digests: written by .ci/write-digests"
END = "# end of digests"

# A version that Cargo takes, without build metadata, which tags and file names do not carry well.
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z]+(\.[0-9A-Za-z]+)*)?")


class Refusal(Exception):
    """Why nothing is done."""


def main(body):
    """Runs a script's body; a refusal is one line and exit status 1."""
    try:
        body(sys.argv[1:])
    except Refusal as refusal:
        sys.exit(f"{Path(sys.argv[0]).name}: {refusal}")


def archive(version, target):
    return f"{NAME}-{version}-{target}.tar.gz"


def archives(version):
    return [archive(version, target) for target in TARGETS]


def sboms(version):
    return [f"{name}-{version}.cdx.json" for name in (NAME, SERVICE)]


def service_archives(version):
    return [f"{SERVICE}-{version}-{target}.tar.gz" for target in SERVICE_TARGETS]


def checked_version(text):
    if not VERSION.fullmatch(text):
        raise Refusal(f"{text!r} is not a version such as 1.2.3")
    return text


def version_of_tag(tag):
    if not tag.startswith("v"):
        raise Refusal(f"{tag!r} is not a tag such as v1.2.3")
    return checked_version(tag[1:])


def read(path):
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from None


def cargo_version(path="Cargo.toml", name=NAME):
    """The version of a package in Cargo.toml or Cargo.lock."""
    found = re.search(rf'^name = "{name}"\nversion = "([^"]*)"$', read(path), re.MULTILINE)
    if not found:
        raise Refusal(f"{path} does not tell the version of {name}")
    return found.group(1)


def release_date(version):
    """The date in the changelog's heading `## [1.2.3] - 2026-01-31`, or None while there is no such heading."""
    found = re.search(rf"^## \[{re.escape(version)}\](.*)$", read("CHANGELOG.md"), re.MULTILINE)
    if not found:
        return None
    date = re.fullmatch(r" - (\d{4}-\d{2}-\d{2})", found.group(1))
    try:
        return datetime.date.fromisoformat(date.group(1))
    except (AttributeError, ValueError):
        raise Refusal(f"the heading of {version} in CHANGELOG.md has no date: {found.group(0)!r}") from None


def notes(version):
    """The changelog's section on this version."""
    found = re.search(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## |\Z)", read("CHANGELOG.md"), re.MULTILINE | re.DOTALL)
    if not found or not found.group(1).strip():
        raise Refusal(f"CHANGELOG.md says nothing about {version}")
    return found.group(1).strip() + "\n"


def epoch(version):
    """Seconds since 1970 of the release's date, midnight UTC."""
    date = release_date(version)
    if date is None:
        raise Refusal(f"CHANGELOG.md has no heading '## [{version}] - YYYY-MM-DD'; for a state that is no release, set SOURCE_DATE_EPOCH")
    midnight = datetime.datetime.combine(date, datetime.time(), datetime.timezone.utc)
    return int(midnight.timestamp())


def digests(text, version, where):
    """The archives' digests in a text of sha256sum's format: all five of this version, each once, nothing else."""
    found = {}
    for line in text.splitlines():
        entry = re.fullmatch(r"([0-9a-f]{64})  (\S+)", line)
        if not entry:
            raise Refusal(f"{where}: {line!r} is not a SHA-256 digest, two spaces and a name")
        digest, name = entry.groups()
        if name in found:
            raise Refusal(f"{where}: {name} is there twice")
        found[name] = digest
    wanted = archives(version)
    # These have digests in SHA256SUMS too, but neither action nor component runs them.
    for name in (*sboms(version), *service_archives(version)):
        found.pop(name, None)
    for name in found:
        if name not in wanted:
            raise Refusal(f"{where}: {name} is no archive of version {version}")
    for name in wanted:
        if name not in found:
            raise Refusal(f"{where}: there is no digest of {name}")
    return {name: found[name] for name in wanted}


class Block:
    """The lines between the two marks of a file: a few keys, one of which may hold several lines."""

    KEYS = ("RELEASE_VERSION", "RELEASE_URL", "RELEASE_DIGESTS")

    def __init__(self, path):
        self.path = path
        lines = read(path).split("\n")
        marks = [at for at, line in enumerate(lines) if line.strip() in (BEGIN, END)]
        if len(marks) != 2 or lines[marks[0]].strip() != BEGIN or lines[marks[1]].strip() != END:
            raise Refusal(f"{path}: there has to be one line {BEGIN!r} and, after it, one line {END!r}")
        self.head, self.tail = lines[: marks[0] + 1], lines[marks[1] :]
        self.indentation = lines[marks[0]][: -len(BEGIN)]
        self.values = {}
        key = None
        for line in lines[marks[0] + 1 : marks[1]]:
            if key and line.startswith(self.indentation + "  "):
                self.values[key] += line.strip() + "\n"
                continue
            entry = re.fullmatch(rf'{self.indentation}([A-Z_]+): (?:"([^"\\]*)"|(\|))', line)
            if not entry or entry.group(1) not in self.KEYS or entry.group(1) in self.values:
                raise Refusal(f"{path}: {line.strip()!r} does not belong between the marks")
            name, value, several = entry.groups()
            self.values[name] = value or ""
            key = name if several else None
        for name in ("RELEASE_VERSION", "RELEASE_DIGESTS"):
            if name not in self.values:
                raise Refusal(f"{path}: {name} is not between the marks")

    def text(self):
        lines = []
        for name, value in self.values.items():
            if "\n" in value:
                lines.append(f"{self.indentation}{name}: |")
                lines += [f"{self.indentation}  {line}" for line in value.splitlines()]
            else:
                lines.append(f'{self.indentation}{name}: "{value}"')
        return "\n".join(self.head + lines + self.tail)


def blocks():
    """The blocks of the action and of the components, as far as they are there."""
    paths = [path for path in [ROOT / "action.yml", *sorted((ROOT / "templates").glob("**/*.yml"))] if path.exists()]
    found = [Block(path.relative_to(ROOT).as_posix()) for path in paths]
    if not found:
        raise Refusal("there is neither action.yml nor anything in templates/")
    return found
