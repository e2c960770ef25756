#!/usr/bin/env bash
# Licences and crate boundaries of deny.toml, without asking the network: cargo-deny where it is
# installed, else the same rules read from `cargo metadata` (host/crates ladder: see tests/cases/ladder.rs).
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v cargo-deny >/dev/null; then
  cargo deny --offline check bans licenses sources
  exit
fi
cargo metadata --format-version 1 --locked > "${TMPDIR:-/tmp}/torana-metadata.$$"
trap 'rm -f "${TMPDIR:-/tmp}/torana-metadata.$$"' EXIT
python3 - "${TMPDIR:-/tmp}/torana-metadata.$$" <<'PY'
import json, re, subprocess, sys, tomllib
meta = json.load(open(sys.argv[1]))
rules = tomllib.load(open("deny.toml", "rb"))
allowed = set(rules["licenses"]["allow"])
wrappers = {d["crate"]: set(d.get("wrappers", [])) for d in rules["bans"]["deny"]}
targets = [f"--target={t}" for t in rules["graph"]["targets"]]
names = {p["id"]: p["name"] for p in meta["packages"]}
bad = []
for p in meta["packages"]:
    if p["source"] is None:
        continue
    if not p["source"].startswith("registry+"):
        bad.append(f"{p['name']}: comes from {p['source']}, only the registry is allowed")
    text = p["license"] or ""
    def ok(expr):
        expr = expr.replace("/", " OR ").strip()
        parts = [x.strip(" ()") for x in re.split(r"\bOR\b", expr)]
        return any(all(t.strip(" ()") in allowed for t in re.split(r"\bAND\b", x)) for x in parts)
    if not ok(text):
        bad.append(f"{p['name']} {p['version']}: licence `{text}` is not allowed by deny.toml")
# `cargo metadata` shows edges of features that are off; `cargo tree` knows better.
for banned in wrappers.keys() & set(names.values()):
    tree = ["cargo", "tree", "--locked", "--workspace", *targets, "--invert", banned, "--depth=1", "--prefix=depth", "--format={p}"]
    for user in re.findall(r"^1([^ ]+)", subprocess.run(tree, capture_output=True, text=True).stdout, re.M):
        if user not in wrappers[banned]:
            bad.append(f"{user} uses {banned}, which only {sorted(wrappers[banned]) or 'nobody'} may (deny.toml)")
print("\n".join(bad) or f"{len(meta['packages'])} packages: licences and boundaries hold")
sys.exit(1 if bad else 0)
PY
