#!/usr/bin/env python3
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Makes packages of a program that was built before: scripts/package.py [--level N] BINARY OUT KIND...

Kinds: sbom, tar, deb, wheel, npm; sums comes last. Needs Python alone, and dpkg-deb for deb and npm for npm. The version is
that of the workspace; times are SOURCE_DATE_EPOCH, or that of the last commit, so that the same input makes the same packages.
"""

import argparse
import base64
import gzip
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import uuid
import zipfile
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "function-stream"
SUMMARY = "Small WebAssembly functions over streams of events, exactly once, in one binary"
MAINTAINER = "Function Stream Org. <functionstream@users.noreply.github.com>"
HOME = "https://github.com/functionstream/function-stream"
# What runs functions given as source, as far as it was built: scripts/engines.sh.
ENGINES = sorted((ROOT / "bin/engines").glob("*.wasm"))
# What each world calls the processor.
MACHINES = {"x86_64": ("amd64", "x64"), "aarch64": ("arm64", "arm64")}


def workspace_version():
    manifest = (ROOT / "Cargo.toml").read_text()
    section = manifest.split("[workspace.package]", 1)[1]
    return re.search(r'^version\s*=\s*"([^"]+)"', section, re.MULTILINE).group(1)


def source_time():
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    said = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True)
    return int(said.stdout) if said.returncode == 0 and said.stdout.strip() else 0


class Package:
    """A program and where its packages go."""

    def __init__(self, binary, out, level):
        self.binary, self.out, self.level = binary, out, level
        self.version, self.time = workspace_version(), source_time()
        self.machine = platform.machine()
        if self.machine not in MACHINES:
            sys.exit(f"package.py: no name is known for the processor {self.machine}")
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()
        if said != [NAME, self.version]:
            sys.exit(f"package.py: '{binary}' is {' '.join(said)}, not {NAME} {self.version}: build it anew")
        bytes_ = binary.read_bytes()
        needed = {tuple(map(int, found)) for found in re.findall(rb"GLIBC_(\d+)\.(\d+)", bytes_)}
        self.glibc = ".".join(map(str, max(needed)))
        self.libraries = {name for name in ("libstdc++", "libgcc_s") if f"{name}.so.".encode() in bytes_}

    def epoch(self, info):
        info.mtime, info.uid, info.gid, info.uname, info.gname = self.time, 0, 0, "root", "root"
        return info

    # A bill of materials in the form of CycloneDX.
    def sbom(self):
        path = self.out / f"{NAME}-{self.version}.cdx.json"
        path.write_text(json.dumps(self.materials(), indent=1) + "\n")
        return path

    def materials(self):
        host = re.search(r"^host: (\S+)", run("rustc", "-vV"), re.MULTILINE).group(1)
        meta = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host))
        packages = {package["id"]: package for package in meta["packages"]}
        nodes = {node["id"]: node for node in meta["resolve"]["nodes"]}
        lock = (ROOT / "Cargo.lock").read_text()
        sums = dict(
            ((name, version), checksum)
            for name, version, checksum in re.findall(
                r'name = "([^"]+)"\nversion = "([^"]+)"\nsource = "[^"]+"\nchecksum = "([0-9a-f]{64})"', lock
            )
        )
        root = next(p["id"] for p in meta["packages"] if p["name"] == "fnstream-cli")

        # What the program is made of, and not what only builds or tests it.
        def uses(one):
            return sorted(
                dep["pkg"] for dep in nodes[one]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])
            )

        reached, new = {root}, [root]
        while new:
            for used in uses(new.pop()):
                if used not in reached:
                    reached.add(used)
                    new.append(used)

        def purl(one):
            package = packages[one]
            return f"pkg:cargo/{package['name']}@{package['version']}"

        def component(one):
            package = packages[one]
            found = {
                "type": "library",
                "bom-ref": purl(one),
                "name": package["name"],
                "version": package["version"],
                "purl": purl(one),
            }
            if package.get("license"):
                # Older manifests have a slash for "or".
                found["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}]
            checksum = sums.get((package["name"], package["version"]))
            if checksum:
                found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
            return found

        parts = sorted(reached - {root}, key=purl)
        of = hashlib.sha256(lock.encode() + self.version.encode()).hexdigest()
        when = datetime.fromtimestamp(self.time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, HOME + of)}",
            "version": 1,
            "metadata": {
                "timestamp": when,
                "component": {
                    "type": "application",
                    "bom-ref": purl(root),
                    "name": NAME,
                    "version": self.version,
                    "licenses": [{"expression": "Apache-2.0"}],
                    "hashes": [{"alg": "SHA-256", "content": sha256(self.binary)}],
                },
            },
            "components": [component(one) for one in parts],
            "dependencies": [
                {"ref": purl(one), "dependsOn": [purl(used) for used in uses(one)]} for one in [root, *parts]
            ],
        }

    def tar(self):
        stem = f"{NAME}-{self.version}-{self.machine}-linux"
        path = self.out / f"{stem}.tar.gz"
        files = [(self.binary, NAME, 0o755)]
        files += [(ROOT / name, name, 0o644) for name in ("LICENSE", "README.md")]
        files += [
            (ROOT / "dist" / name, name, 0o644)
            for name in ("function-stream.service", "config.yaml", "alerts.yml", "Containerfile")
        ]
        files += [(engine, f"engines/{engine.name}", 0o644) for engine in ENGINES]
        materials = self.out / f"{NAME}-{self.version}.cdx.json"
        files += [(materials, materials.name, 0o644)] if materials.exists() else []
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", self.level, raw, self.time) as packed:
            with tarfile.open(fileobj=packed, mode="w") as archive:
                for source, name, mode in files:
                    info = self.epoch(archive.gettarinfo(source, f"{stem}/{name}"))
                    info.mode = mode
                    with open(source, "rb") as file:
                        archive.addfile(info, file)
        return path

    def deb(self):
        architecture = MACHINES[self.machine][0]
        path = self.out / f"{NAME}_{self.version}_{architecture}.deb"
        depends = [f"libc6 (>= {self.glibc})", "adduser"]
        depends += ["libstdc++6"] if "libstdc++" in self.libraries else []
        depends += ["libgcc-s1"] if "libgcc_s" in self.libraries else []
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)

            def put(source, target, mode=0o644):
                target = root / target
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
                target.chmod(mode)

            put(self.binary, f"usr/bin/{NAME}", 0o755)
            put(ROOT / "dist/function-stream.service", "usr/lib/systemd/system/function-stream.service")
            for engine in ENGINES:
                put(engine, f"usr/share/{NAME}/engines/{engine.name}")
            put(ROOT / "dist/config.yaml", "etc/function-stream/config.yaml")
            put(ROOT / "dist/alerts.yml", f"usr/share/doc/{NAME}/alerts.yml")
            put(ROOT / "docs/operations.md", f"usr/share/doc/{NAME}/operations.md")
            for script in ("postinst", "prerm", "postrm"):
                put(ROOT / "dist/debian" / script, f"DEBIAN/{script}", 0o755)
            docs = root / f"usr/share/doc/{NAME}"
            (docs / "copyright").write_text(
                "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
                f"Upstream-Name: {NAME}\nSource: {HOME}\n\nFiles: *\nCopyright: 2024 Function Stream Org.\n"
                "License: Apache-2.0\n On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n"
            )
            when = datetime.fromtimestamp(self.time, timezone.utc).strftime("%a, %d %b %Y %H:%M:%S +0000")
            changes = f"{NAME} ({self.version}) unstable; urgency=medium\n\n  * See {HOME}/releases.\n\n -- {MAINTAINER}  {when}\n"
            with open(docs / "changelog.gz", "wb") as raw, gzip.GzipFile("", "wb", 9, raw, 0) as packed:
                packed.write(changes.encode())
            (root / "DEBIAN/conffiles").write_text("/etc/function-stream/config.yaml\n")
            size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
            (root / "DEBIAN/control").write_text(
                f"Package: {NAME}\nVersion: {self.version}\nArchitecture: {architecture}\nSection: database\n"
                f"Priority: optional\nMaintainer: {MAINTAINER}\nHomepage: {HOME}\nDepends: {', '.join(depends)}\n"
                f"Installed-Size: {size // 1024 + 1}\nDescription: {SUMMARY}\n"
                " One program is the server, with a log and state of its own, and the command line.\n"
                " Functions are WebAssembly; what they consume, keep and emit is one commit.\n"
            )
            sums = [
                f"{hashlib.md5(file.read_bytes()).hexdigest()}  {file.relative_to(root)}\n"
                for file in sorted(root.rglob("*"))
                if file.is_file() and "DEBIAN" not in file.parts
            ]
            (root / "DEBIAN/md5sums").write_text("".join(sums))
            for made in [root, *root.rglob("*")]:
                if made.is_dir():
                    made.chmod(0o755)
            environment = {**os.environ, "SOURCE_DATE_EPOCH": str(self.time)}
            # The stronger one takes minutes for what is only tried out.
            packing = ["-Zxz", "-z6"] if self.level > 3 else ["-Zgzip", f"-z{self.level}"]
            command = ["dpkg-deb", "--root-owner-group", *packing, "--build", root, path]
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        return path

    def wheel(self):
        name, major = NAME.replace("-", "_"), self.glibc.replace(".", "_")
        tag = f"py3-none-manylinux_{major}_{self.machine}"
        path = self.out / f"{name}-{self.version}-{tag}.whl"
        info, record = f"{name}-{self.version}.dist-info", []
        metadata = (
            f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {self.version}\nSummary: {SUMMARY}\nHome-page: {HOME}\n"
            "License: Apache-2.0\nRequires-Python: >=3.8\nDescription-Content-Type: text/markdown\n\n"
            f"The program `{NAME}`: {SUMMARY[0].lower()}{SUMMARY[1:]}. See <{HOME}>.\n"
        )
        when = datetime.fromtimestamp(max(self.time, 315532800), timezone.utc).timetuple()[:6]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=self.level) as archive:

            def put(target, content, mode=0o644):
                entry = zipfile.ZipInfo(target, when)
                entry.external_attr, entry.compress_type = (0o100000 | mode) << 16, zipfile.ZIP_DEFLATED
                archive.writestr(entry, content)
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                record.append(f"{target},sha256={digest},{len(content)}\n")

            put(f"{name}-{self.version}.data/scripts/{NAME}", self.binary.read_bytes(), 0o755)
            for engine in ENGINES:
                put(f"{name}-{self.version}.data/data/share/{NAME}/engines/{engine.name}", engine.read_bytes())
            put(f"{info}/METADATA", metadata.encode())
            put(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: false\nTag: {tag}\n".encode())
            put(f"{info}/licenses/LICENSE", (ROOT / "LICENSE").read_bytes())
            entry = zipfile.ZipInfo(f"{info}/RECORD", when)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, "".join(record) + f"{info}/RECORD,,\n")
        return path

    def npm(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "bin").mkdir()
            shutil.copyfile(self.binary, root / "bin" / NAME)
            (root / "bin" / NAME).chmod(0o755)
            for engine in ENGINES:
                (root / "bin/engines").mkdir(exist_ok=True)
                shutil.copyfile(engine, root / "bin/engines" / engine.name)
            shutil.copyfile(ROOT / "LICENSE", root / "LICENSE")
            (root / "README.md").write_text(f"# {NAME}\n\n{SUMMARY}: see <{HOME}>.\n")
            package = {
                "name": NAME,
                "version": self.version,
                "description": SUMMARY,
                "homepage": HOME,
                "repository": {"type": "git", "url": f"git+{HOME}.git"},
                "license": "Apache-2.0",
                "bin": {NAME: f"bin/{NAME}"},
                "files": ["bin", "LICENSE"],
                "os": ["linux"],
                "cpu": [MACHINES[self.machine][1]],
                "libc": ["glibc"],
            }
            (root / "package.json").write_text(json.dumps(package, indent=2) + "\n")
            command = ["npm", "pack", "--silent", "--offline", "--pack-destination", self.out.resolve()]
            subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
        return self.out / f"{NAME}-{self.version}.tgz"

    def sums(self):
        path = self.out / "SHA256SUMS"
        made = sorted(file for file in self.out.iterdir() if file.is_file() and file != path)
        path.write_text("".join(f"{sha256(file)}  {file.name}\n" for file in made))
        return path


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else digest(file)


def digest(file):
    summing = hashlib.sha256()
    for piece in iter(lambda: file.read(1 << 20), b""):
        summing.update(piece)
    return summing.hexdigest()


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main():
    kinds = ["sbom", "tar", "deb", "wheel", "npm", "sums"]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--level", type=int, default=9, choices=range(1, 10), help="of compression")
    parser.add_argument("binary", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"any of {', '.join(kinds)}; all of them without")
    args = parser.parse_args()
    wanted = args.kinds or kinds
    unknown = [kind for kind in wanted if kind not in kinds]
    if unknown:
        parser.error(f"there is no kind '{unknown[0]}'")
    args.out.mkdir(parents=True, exist_ok=True)
    package = Package(args.binary.resolve(), args.out, args.level)
    for kind in kinds:
        if kind in wanted:
            print(getattr(package, kind)())


if __name__ == "__main__":
    main()
