"""A page as a user opens it, in a headless browser where there is one."""

import json
import re
import shutil
import subprocess
from html import unescape

CHROME = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = "--headless=new --no-sandbox --disable-gpu --enable-unsafe-swiftshader --enable-logging=stderr --dump-dom"
AFTER = """
const found = {};
window.addEventListener("load", () => setTimeout(() => {
  const texts = selector => [...document.querySelectorAll(selector)].map(e => e.textContent);
PROBE
  document.querySelectorAll("script").forEach(e => e.remove());
  document.body.replaceChildren(Object.assign(document.createElement("pre"), { id: "found" }));
  document.getElementById("found").textContent = JSON.stringify(found);
}, 1000));
"""


def looked(page: str, probe: str, home) -> tuple[dict, list[str]]:
    """What the script probe puts into `found` a second after loading the page, and lines of the browser's console."""
    script = AFTER.replace("PROBE", probe)
    (home / "page.html").write_text(page.replace("</body>", f"<script>{script}</script></body>"))
    size = ["--virtual-time-budget=20000", "--window-size=1400,4000", f"--user-data-dir={home / 'profile'}"]
    command = [CHROME, *FLAGS.split(), *size, (home / "page.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True)
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    assert text, done.stderr[-3000:]
    return json.loads(unescape(text[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]
