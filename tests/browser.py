"""A headless Chromium driven over its debugging pipe: needs the browser and nothing else."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60  # seconds for an answer
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
    "--no-first-run", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One tab. `with Browser(folder) as tab`: what it downloads lies in the folder; a test without a browser skips."""

    def __init__(self, folder):
        program = next((found for name in NAMES if (found := shutil.which(name))), None)
        if program is None:
            pytest.skip("no Chromium here; install one (apt install chromium) to have the page used by its test")
        (low_in, self.out), (self.into, low_out) = os.pipe(), os.pipe()
        theirs, their_out = (fcntl.fcntl(low, fcntl.F_DUPFD, 20) for low in (low_in, low_out))  # neither 3 nor 4
        command = f'exec "$@" 3<&{theirs} 4>&{their_out}'  # what the browser reads from and writes to
        arguments = [program, *OPTIONS, f"--user-data-dir={folder}/profile"]
        self.process = subprocess.Popen(
            ["bash", "-c", command, "bash", *arguments], pass_fds=(theirs, their_out), stderr=subprocess.DEVNULL
        )
        for one in (low_in, low_out, theirs, their_out):
            os.close(one)
        self.folder, self.number, self.rest, self.session = Path(folder), 0, b"", None
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.out)
        os.close(self.into)

    def call(self, method, **parameters):
        """The answer of the browser to one command of its protocol."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def read(self):
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.into], [], [], PATIENCE)
            assert ready, "the browser does not answer"
            part = os.read(self.into, 1 << 20)
            assert part, "the browser is gone"
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def open(self, path, *, width, height):
        """Show a file in a window of that many pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        self.until("location.protocol === 'file:' && document.readyState === 'complete'")

    def value(self, expression):
        """What a JavaScript expression gives."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression):
        deadline = time.monotonic() + PATIENCE
        while not self.value(expression):
            assert time.monotonic() < deadline, f"never: {expression}"
            time.sleep(0.02)

    def press(self, *keys):
        """Keys as a keyboard sends them: "a", "A", "ArrowRight"."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def click(self, selector):
        """The middle of an element, by the mouse."""
        box = self.value(f"(b => [b.x + b.width / 2, b.y + b.height / 2])"
                         f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())")  # fmt: skip
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def downloaded(self, name):
        """The bytes of a file that was downloaded, once they are all there."""
        deadline = time.monotonic() + PATIENCE
        while not (self.folder / name).exists() or list(self.folder.glob("*.crdownload")):
            assert time.monotonic() < deadline, f"{name} was not downloaded"
            time.sleep(0.02)
        return (self.folder / name).read_bytes()

    def picture(self, path):
        """A screenshot as PNG."""
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
