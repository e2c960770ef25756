#!/usr/bin/env bash
# Runs the differential cases (tests/differential, and the public ones of the suite) against the recorded
# answers of the real Traefik 3.7.15, as a ratchet: every case named in tests/compat-must-pass.txt must
# pass, and the list only grows. The runner is kept outside the project; without it (COMPAT_DIR, or
# ../shared/compat) this is a loud skip.
set -euo pipefail
cd "$(dirname "$0")/.."
suite="${COMPAT_DIR:-../shared/compat}"
if [ ! -f "$suite/run.py" ]; then
  echo "SKIPPED: no compatibility suite at $suite"
  exit 0
fi
binary="${TORANA_BIN:-$PWD/target/debug/torana}"
[ -x "$binary" ] || cargo build --locked
rustup target add wasm32-wasip1 >/dev/null 2>&1 || true
cargo build --quiet --locked --release --target wasm32-wasip1 --manifest-path tests/fixtures/http-wasm/Cargo.toml
export HTTP_WASM_GUESTS="$PWD/tests/fixtures/http-wasm/target/wasm32-wasip1/release"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cp -r "$suite/." "$work/"
cp -r tests/differential "$work/differential"
chmod -R u+w "$work"
rm -rf "$work/.venv"
python3 -m venv "$work/.venv"
"$work/.venv/bin/pip" install -q -r "$work/requirements.txt"
only=()
while read -r case; do only+=(--only "$case"); done < <(grep -v '^#' tests/compat-must-pass.txt | grep .)
cd "$work"
folders=()
for goldens in differential/*/goldens; do folders+=(--cases "${goldens%/goldens}"); done
.venv/bin/python run.py --cases cases "${folders[@]}" \
  --candidate "$binary --configFile={static}" -q --retry 2 "${only[@]}"
