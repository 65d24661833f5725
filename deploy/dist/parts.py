"""What is inside the binary:   python3 deploy/dist/parts.py FOLDER

Writes sbom.cdx.json (CycloneDX 1.5, https://cyclonedx.org/docs/1.5/json/) and THIRD-PARTY.txt (the licence texts) for
every crate that is linked in and every npm package that the page holds. Both come from the lock files alone.
"""

import base64
import json
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "dashboards/web"
PRODUCT = "pgsonde"
TEXT_SUFFIXES = ("", ".txt", ".md", ".mit", ".apache", ".bsd-2-clause", ".bsd-3-clause", ".apache-2.0_with_llvm-exception")
LICENCE_NAMES = ("license", "licence", "copying", "notice", "unlicense", "copyright")


def crates():
    """Every crate below the product by normal dependencies, as (name, version, licence, folder, sha256)."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--offline"]
    host = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    command += ["--filter-platform", host.split("host: ")[1].split("\n")[0]]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [id for id, package in packages.items() if package["name"] == PRODUCT and package["source"] is None]
    inside = set()
    while waiting:
        id = waiting.pop()
        if id in inside:
            continue
        inside.add(id)
        linked = [dep for dep in nodes[id]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
        waiting += [dep["pkg"] for dep in linked]
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    sums = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}
    for id in sorted(inside, key=lambda id: (packages[id]["name"], packages[id]["version"])):
        package = packages[id]
        if package["source"] is not None:
            key = (package["name"], package["version"])
            yield *key, package["license"] or "", Path(package["manifest_path"]).parent, sums[key]


def web_packages():
    """Every npm package that the page holds, as (name, version, licence, folder, sha512)."""
    lock = json.loads((WEB / "package-lock.json").read_text())
    for path, package in sorted(lock["packages"].items()):
        if path and not package.get("dev") and not package.get("optional"):
            digest = base64.b64decode(package["integrity"].removeprefix("sha512-")).hex()
            name = path.rpartition("node_modules/")[2]
            yield name, package["version"], package.get("license", ""), WEB / path, digest


def component(kind, algorithm, part):
    name, version, licence, _folder, digest = part
    return {
        "type": "library",
        "bom-ref": f"pkg:{kind}/{name}@{version}",
        "purl": f"pkg:{kind}/{name}@{version}",
        "name": name,
        "version": version,
        "licenses": [{"expression": licence.replace("/", " OR ")}] if licence else [],
        "hashes": [{"alg": algorithm, "content": digest}],
    }


def bill(version, components):
    product = {"type": "application", "name": PRODUCT, "version": version, "bom-ref": f"pkg:cargo/{PRODUCT}@{version}"}
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([product, components], sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": product},
        "components": components,
    }


def is_licence(file):
    return file.name.lower().startswith(LICENCE_NAMES) and file.suffix.lower() in TEXT_SUFFIXES


def licences(parts):
    """Each licence text once, under the names of all that came with it."""
    texts = {}
    for name, version, licence, folder, _digest in parts:
        # Libraries of other languages that a crate brings along have their own, below.
        files = sorted(folder.rglob("*"))
        found = [file for file in files if file.is_file() and is_licence(file)]
        of = f"{name} {version} ({licence})"
        for file in found:
            text = file.read_text(encoding="utf-8", errors="replace").strip()
            texts.setdefault(text, []).append(of)
        if not found:
            texts.setdefault(f"Under {licence}; the package brings no text of its own.", []).append(of)
    rule = "=" * 100
    blocks = ["\n".join([rule, *dict.fromkeys(names), rule, "", text]) for text, names in texts.items()]
    return "\n\n".join(["What is inside pgsonde, and under which terms.", *blocks]) + "\n"


def main(folder):
    cargo, npm = list(crates()), list(web_packages())
    components = [component("cargo", "SHA-256", part) for part in cargo]
    components += [component("npm", "SHA-512", part) for part in npm]
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    (folder / "sbom.cdx.json").write_text(json.dumps(bill(version, components), indent=1) + "\n")
    (folder / "THIRD-PARTY.txt").write_text(licences(cargo + npm))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
