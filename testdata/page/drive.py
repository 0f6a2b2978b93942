"""Drives the status page in Chromium through its DevTools pipe: drive.py TUNNEL-URL [DIRECTORY-FOR-SCREENSHOTS]."""

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse


class Browser:
    """A headless Chromium with one page; messages are JSON, ended by a zero byte."""

    def __init__(self, profile):
        commands, self.to_browser = os.pipe()
        self.from_browser, answers = os.pipe()

        def connect():  # the browser reads 3 and writes 4
            read, write = os.dup(commands), os.dup(answers)
            os.dup2(read, 3)
            os.dup2(write, 4)

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--hide-scrollbars",
                 "--disable-component-update", "--disable-sync", "--remote-debugging-pipe", "--user-data-dir=" + profile, "about:blank"]
        self.process = subprocess.Popen(["chromium", *flags], close_fds=False, preexec_fn=connect, stderr=subprocess.DEVNULL)
        os.close(commands)
        os.close(answers)
        self.buffer, self.last, self.session, self.events = b"", 0, None, []
        for _ in range(100):
            pages = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
            if pages:
                break
            time.sleep(0.1)
        self.session = self.call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def call(self, method, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def receive(self):
        while b"\0" not in self.buffer:
            part = os.read(self.from_browser, 1 << 16)
            if not part:
                raise RuntimeError("the browser has gone")
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, userGesture=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def until(self, what, expression):
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self.evaluate(expression):
                print("ok:", what)
                return
            time.sleep(0.1)
        raise SystemExit(f"FAILED: {what}: never {expression}\n" + self.evaluate("document.body.innerText"))

    def click(self, selector):
        """Clicks in the middle of an element, as a mouse does."""
        x, y = self.evaluate(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView(); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] }})()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def window(self, width, height, dark):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        wide = self.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            raise SystemExit(f"FAILED: the page is {wide} wide in a window of {width}")

    def shoot(self, directory, name, whole=False):
        if directory:
            time.sleep(0.3)
            picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole,
                                **({"clip": {**self.call("Page.getLayoutMetrics")["cssContentSize"], "scale": 1}} if whole else {}))["data"]
            with open(os.path.join(directory, name + ".png"), "wb") as f:
                f.write(base64.b64decode(picture))

    def complaints(self):
        """What the browser had to complain of, and what it loaded that is not the tunnel's."""
        for e in self.events:
            entry = e.get("params", {}).get("entry", {})
            if e.get("method") == "Log.entryAdded" and entry.get("level") == "error":
                yield entry["text"]
            if e.get("method") in ("Runtime.exceptionThrown", "Page.javascriptDialogOpening"):
                yield json.dumps(e["params"])

    def loaded(self):
        return {e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"}


class Tunnel:
    def __init__(self, url):
        at = urllib.parse.urlsplit(url)
        self.address = (at.hostname, at.port)

    def connect(self, host):
        """Opens a tunnel and returns it with the first line of the answer."""
        s = socket.create_connection(self.address)
        s.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: proxy.test\r\n\r\n".encode())
        return s, s.makefile("rb").readline().decode()

    def ask(self, host, code):
        s, answer = self.connect(host)
        s.close()
        if f" {code} " not in answer:
            raise SystemExit(f"FAILED: {host}: {answer}")


# A form feed is a blank to HTML (its standard, "ASCII whitespace"), and none to the request line.
HOSTILE = "<img\fsrc=x\fonerror=alert(1)>.example:443"


def main(url, shots):
    tunnel = Tunnel(url)
    page = url + "/__agentproxy/"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            drive(browser, tunnel, page, shots)
        finally:
            browser.process.terminate()
            browser.process.wait()


def drive(browser, tunnel, page, shots):
    troubles = "document.getElementById('troubles')?.innerText"
    browser.window(900, 960, dark=False)
    browser.call("Page.navigate", url=page)
    browser.until("idle: the page is live", "document.getElementById('state')?.textContent === 'up, live'")
    browser.until("idle: what is empty is folded to a line", "[...document.querySelectorAll('section.empty')].length === 8 && [...document.querySelectorAll('section.empty')].every((s) => s.offsetHeight < 50)")
    browser.shoot(shots, "idle")

    # The browser stays on the page: what follows can only come by the event stream.
    browser.evaluate("window.stayed = true")
    tunnel.ask("evil.example:443", 403)
    browser.until("a denial appears live", troubles + "?.includes('agentproxy why evil.example')")
    browser.until("it can be copied", "document.querySelector('#troubles [data-copy]').dataset.copy === 'agentproxy why evil.example'")
    browser.until("the report has a button", "[...document.querySelectorAll('#troubles [data-copy]')].some((b) => b.dataset.copy === 'agentproxy report')")
    browser.until("the sentence comes first", "document.querySelector('#troubles .head').innerText.includes('is denied by the rule')")
    browser.until("the tab tells", "document.title.startsWith('1 refused, ')")

    tunnels = [tunnel.connect("git.test:443")[0] for _ in range(40)]
    for n in range(12):
        tunnel.ask(f"beacon{n % 3}.tracker.example:443", 403)
    tunnel.ask("no-such-name.invalid:443", 502)
    browser.until("a burst: open tunnels are counted", "document.querySelector('#counts dd').textContent === '40'")
    browser.until("a burst: and refusals", "document.querySelector('#counts .refused dd').textContent === '13'")
    browser.until("the client is named", "document.getElementById('processes').innerText.includes('python3')")
    browser.until("the timeline has its parts", "document.querySelectorAll('#timeline rect.opened').length && document.querySelectorAll('#timeline rect.refused').length")
    browser.until("refusals and failures have shapes of their own", "document.querySelectorAll('#timeline rect.refused + path').length && document.querySelectorAll('#timeline rect.failed + path').length")
    browser.until("a bar says what it is", "document.querySelector('#timeline g title').textContent.includes(' refused, ')")
    browser.until("times stand below", "document.querySelectorAll('#timeline-axis li').length === 5")
    browser.until("the processes add up", """[...document.querySelectorAll('#processes tbody tr')].flatMap((r) => [...r.querySelectorAll('td.number:not(.time)')]).reduce((n, c) => n + Number(c.innerText), 0)
        === [...document.querySelectorAll('#counts dd')].slice(1).reduce((n, c) => n + Number(c.innerText), 0)""")
    browser.until("numbers stand right", "getComputedStyle(document.querySelector('#hosts td.number')).textAlign === 'right'")
    browser.shoot(shots, "burst")
    for width in (360, 600, 1100, 1920):
        for dark in (False, True):
            browser.window(width, 1200, dark)
            columns = browser.evaluate("getComputedStyle(document.querySelector('main')).gridTemplateColumns.split(' ').filter((c) => c !== 'none').length")
            if (columns == 2) != (width >= 1100):
                raise SystemExit(f"FAILED: {columns} columns in a window of {width}")
            cards = browser.evaluate("getComputedStyle(document.querySelector('#hosts tbody tr')).display") == "flex"
            if cards != (width < 600):
                raise SystemExit(f"FAILED: cards in a window of {width}: {cards}")
            browser.shoot(shots, f"{width}-{'dark' if dark else 'light'}", whole=True)
    print("ok: cards below 600 pixels, two columns from 1,100")
    browser.window(900, 960, dark=False)
    for t in tunnels[3:]:
        t.close()
    browser.until("closed tunnels go", "document.querySelector('#counts dd').textContent === '3'")

    s, _ = tunnel.connect(HOSTILE)
    s.close()
    browser.until("a hostile name is text", troubles + "?.includes('onerror=alert(1)')")
    browser.until("and in no command", "![...document.querySelectorAll('[data-copy]')].some((b) => b.dataset.copy.includes('onerror'))")
    browser.until("the page was not reloaded", "window.stayed")
    browser.call("Page.reload")
    browser.until("the server draws it as text, too", "!window.stayed && document.getElementById('state')?.textContent === 'up, live' && " + troubles + "?.includes('onerror=alert(1)')")
    browser.until("nothing was made of it", "!document.querySelector('img, script:not([src=\"page.js\"])')")

    browser.window(360, 900, dark=True)
    browser.until("dark and narrow", "getComputedStyle(document.body).backgroundColor === 'rgb(20, 23, 27)'")
    browser.shoot(shots, "narrow")

    # The filter is a form: the browser's own submission, and the stream that follows it.
    browser.evaluate("document.querySelector('[name=host]').value = 'beacon1'; document.querySelector('#filter button').click()")
    browser.until("a filter leaves its own", "location.search.startsWith('?host=beacon1') && document.getElementById('state')?.textContent === 'up, live' && document.querySelector('#counts .refused dd')?.textContent === '4'")
    tunnel.ask("beacon1.tracker.example:443", 403)
    tunnel.ask("beacon2.tracker.example:443", 403)
    browser.until("and goes on live", "document.querySelector('#counts .refused dd').textContent === '5'")
    browser.shoot(shots, "filter")
    browser.evaluate("document.querySelector('#filter a').click()")
    browser.until("it is taken off", "!location.search && document.getElementById('state')?.textContent === 'up, live'")

    found = list(browser.complaints())
    if found:
        raise SystemExit("FAILED: the browser complains: " + "\n".join(found))
    foreign = [u for u in browser.loaded() if not u.startswith(page)]
    if foreign:
        raise SystemExit(f"FAILED: the page loaded {foreign}")
    print("ok: no complaint, nothing foreign loaded")

    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.call("Page.reload")
    browser.until("without scripts the server's drawing is there", troubles + "?.includes('agentproxy why evil.example')")
    browser.until("and no dead button", "[...document.querySelectorAll('button[data-copy]')].every((b) => b.hidden)")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
