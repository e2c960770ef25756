"""Makes the component from plugin.py. `torana plugin build` runs it.

What requirements.txt lists is installed into .venv; pure Python packages listed there can be imported by the plugin.
"""

import pathlib
import subprocess
import sys
import venv

here = pathlib.Path(__file__).resolve().parent
kind, wit, output = "middleware", here.parents[1] / "wit/0.1", here / "build" / "request-id.wasm"

bin_dir = here / ".venv" / ("Scripts" if sys.platform == "win32" else "bin")
if not bin_dir.exists():
    venv.create(here / ".venv", with_pip=True)
subprocess.run([bin_dir / "pip", "install", "--quiet", "--requirement", here / "requirements.txt"], check=True)

command = [bin_dir / "componentize-py", "--quiet", "--wit-path", wit, "--world", kind, "componentize", "plugin"]
packages = next((here / ".venv").glob("[Ll]ib/**/site-packages"))
command += ["--python-path", here, "--python-path", packages, "--output", output]
if kind in ("matcher", "balancer"):
    # They may not wait, and Python's WASI has sockets. Without it, what needs the system's own randomness or its clock cannot be
    # used (`secrets`, `uuid`, `datetime.now`); `random` and `time` can, as torana/common.py gives them the gateway's clock.
    command += ["--stub-wasi"]
output.parent.mkdir(exist_ok=True)
subprocess.run(command, check=True)
print(f"{output.relative_to(here)}: {output.stat().st_size} bytes")
