"""Guests of http-wasm as files of a case: `guest:NAME` stands for the bytes of one of tests/fixtures/http-wasm."""
import os
import lib.harness as harness

HERE = os.path.dirname(os.path.abspath(__file__))
BUILT = os.environ.get("HTTP_WASM_GUESTS") or os.path.join(HERE, "../../fixtures/http-wasm/target/wasm32-wasip1/release")


def _with_guests(run):
    plain = run.writefile

    def writefile(self, name, text, *more, **kw):
        if not text.startswith("guest:"):
            return plain(self, name, text, *more, **kw)
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(os.path.join(BUILT, text[6:] + ".wasm"), "rb") as guest, open(path, "wb") as to:
            to.write(guest.read())

    run.writefile = writefile


if not hasattr(harness, "_knows_guests"):
    harness._knows_guests = True
    for kind in [v for v in vars(harness).values() if isinstance(v, type) and "writefile" in vars(v)]:
        _with_guests(kind)

MANIFEST = "displayName: Script\ntype: middleware\nruntime: wasm\nsummary: does what it is told\ntestData: {}\n"


def local(module="example.com/script", guest="script", manifest=MANIFEST, wasm="plugin.wasm"):
    """The files of a local plugin."""
    folder = f"plugins-local/src/{module}/"
    return {folder + ".traefik.yml": manifest, folder + wasm: f"guest:{guest}"}


def static(name="script", module="example.com/script", **settings):
    return {"experimental": {"localPlugins": {name: {"moduleName": module, **({"settings": settings} if settings else {})}}}}
