"""A real browser without a window, spoken to through a pipe: it opens a page and tells what became of it."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ANSWER_SECONDS = 60.0

_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb"),
    # The errands it runs for itself lead nowhere.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
# Whatever is asked of the network, and whatever goes wrong.
_TELLING = (
    "Network.requestWillBeSent",
    "Runtime.exceptionThrown",
    "Runtime.consoleAPICalled",
    "Log.entryAdded",
)


def installed() -> str | None:
    """The browser on PATH, if there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Page:
    """A page that was opened. ``requests`` are the addresses it asked for, ``complaints`` what went wrong."""

    browser: Browser
    session: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> bytes:
        """All of the page as a PNG, kept at ``path``."""
        shot = self.command("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path.read_bytes()

    def pdf(self) -> bytes:
        """All of the page as it is printed, on A4."""
        paper = {"paperWidth": 8.27, "paperHeight": 11.69}
        return base64.b64decode(self.command("Page.printToPDF", printBackground=True, **paper)["data"])

    def command(self, method: str, **given: Any) -> Any:
        return self.browser.command(method, session=self.session, **given)

    def heard(self, event: dict[str, Any]) -> None:
        """Keep what an event tells."""
        told = event["params"]
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event["method"] in _TELLING:
            self.complaints.append(json.dumps(told))


class Browser:
    """One process. It numbers its commands, and hears events while it waits for their answers."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._number, self._left = read, write, 0, b""
        self._pages: dict[str, Page] = {}
        self._events: list[dict[str, Any]] = []

    def open(self, address: str, *, width: int, dark: bool = False, media: str = "screen") -> Page:
        """Open an address in a window so many pixels wide."""
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.command(f"{domain}.enable")
        page.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.command("Emulation.setEmulatedMedia", media=media, features=[scheme])
        page.command("Page.navigate", url=address)
        self._wait_for("Page.loadEventFired", session)
        return page

    def command(self, method: str, *, session: str | None = None, **given: Any) -> Any:
        """Send a command and return its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": given}
        os.write(
            self._write, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        )
        while (told := self._next()).get("id") != self._number:
            self._heard(told)
        assert "error" not in told, (method, told)
        return told["result"]

    def _wait_for(self, event: str, session: str) -> None:
        def is_it(told: dict[str, Any]) -> bool:
            return told.get("method") == event and told.get("sessionId") == session

        while not any(is_it(told) for told in self._events):
            self._heard(self._next())

    def _heard(self, told: dict[str, Any]) -> None:
        self._events.append(told)
        if page := self._pages.get(told.get("sessionId", "")):
            page.heard(told)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + ANSWER_SECONDS
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            some = os.read(self._read, 1 << 16)
            assert some, "the browser has ended"
            self._left += some
        message, _, self._left = self._left.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        return told


@contextmanager
def browser(program: str, profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, gone at the end of the block."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    # It reads descriptor 3 and writes 4, which this process may be using for something else.
    moved = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    command = [program, *_QUIET, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(
        ["bash", "-c", moved, "bash", *command],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        os.close(theirs_in)
        os.close(theirs_out)
        spoken_to = Browser(ours_in, ours_out)
        try:
            yield spoken_to
            # Its children write to the profile until it has told them not to.
            spoken_to.command("Browser.close")
            process.wait(ANSWER_SECONDS)
        finally:
            process.kill()
            os.close(ours_out)
            os.close(ours_in)
