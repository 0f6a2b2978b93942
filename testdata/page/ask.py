"""Answers on the status page in Chromium: ask.py TUNNEL-URL CONFIG [DIRECTORY-FOR-SCREENSHOTS].

The policy asks. git.test may be reached for /open, another.test may not."""

import fcntl
import http.server
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time

from drive import Browser

FETCH = """
import sys, urllib.error, urllib.request
for url in sys.argv[1:]:
    try:
        urllib.request.urlopen(url)
        print("passed")
    except urllib.error.HTTPError as e:
        print("refused" if e.headers["X-Agentproxy-Reason"] else "passed")
    except OSError as e:  # nobody listens for another.test: what passes gets 502
        print("refused" if "403" in str(e) else "passed")
"""


class Terminal:
    """agentproxy ask --page on a terminal of its own."""

    def __init__(self):
        self.near, far = pty.openpty()

        def own():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(["agentproxy", "ask", "--page"], stdin=far, stdout=far, stderr=far, start_new_session=True, preexec_fn=own)
        os.close(far)
        self.seen = ""

    def type(self, line):
        os.write(self.near, line.encode() + b"\n")

    def link(self):
        """The next link that is printed."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            found = re.search(r"in a browser, once: (\S+)\s", self.seen)
            if found:
                self.seen = self.seen[found.end():]
                return found[1]
            if select.select([self.near], [], [], 0.2)[0]:
                self.seen += os.read(self.near, 1 << 16).decode()
        raise SystemExit("FAILED: no link: " + self.seen)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


class Run:
    """A command of an agent's."""

    def __init__(self, *urls):
        self.process = subprocess.Popen(["agentproxy", "exec", "--", sys.executable, "-c", FETCH, *urls], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def prints(self, what, want):
        out = self.process.communicate()[0].decode().split()
        if out != want:
            raise SystemExit(f"FAILED: {what}: {out}, not {want}")
        print("ok:", what)


class Foreign(http.server.BaseHTTPRequestHandler):
    """Another site, whose page answers everything that may wait here."""

    tunnel = ""

    def do_GET(self):
        body = """<!DOCTYPE html><script>
        const tried = [];
        for (let id = 0; id < 50; id++) {
          const body = new URLSearchParams({ id, answer: 'always' });
          tried.push(fetch('%s/__agentproxy/answer', { method: 'POST', mode: 'no-cors', body }));
          tried.push(fetch('%s/__agentproxy/answer', { method: 'POST', headers: { 'X-Agentproxy-Page': 'x' }, body }));
        }
        Promise.allSettled(tried).then(() => { document.title = 'tried'; });
        </script>""" % (self.tunnel, self.tunnel)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def main(url, config, shots):
    page = url + "/__agentproxy/"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            drive(browser, url, page, config, shots)
        finally:
            browser.process.terminate()
            browser.process.wait()


WAITS = "document.querySelectorAll('#waiting li').length === 1"
READY = "!!document.querySelector('#waiting button.once:enabled')"
# Is a question that comes half a moment after another still closed to a click when the moment of the first is over?
CLOSED = """new Promise((told) => {
  const draws = (id) => drawWaiting({ asks: '', answers: true, waiting: [{ id, who: 'a', what: id, why: '', answers: [{ answer: 'once', label: 'once' }] }] });
  draws('1');
  setTimeout(() => draws('2'), unclickable / 2);
  setTimeout(() => {
    told(document.querySelector('#waiting button.once').disabled);
    drawn.delete('waiting');
    redrawWaiting();
  }, unclickable + 1);
})"""


def drive(browser, url, page, config, shots):
    browser.window(900, 960, dark=False)
    browser.call("Page.navigate", url=page)
    browser.until("without a listener the page says so", "document.getElementById('asks')?.innerText.startsWith('Nobody listens')")
    terminal = Terminal()
    link = terminal.link()
    browser.until("with one, too", "document.getElementById('asks').innerText.startsWith('What no rule allows waits')")
    run = Run("https://another.test/a?secret")
    browser.until("a question appears live", WAITS + " && document.getElementById('waiting').innerText.includes('wants another.test:443')")
    browser.until("the tab tells", "document.title.startsWith('1 waiting')")
    browser.until("without the link there is no button", "!document.querySelector('#waiting button') && document.getElementById('answering').innerText.includes('agentproxy ask --page')")

    browser.call("Page.navigate", url=link)
    browser.until("with it there are, in a moment", READY)
    browser.until("the code has left the address", "location.href === '" + page + "'")
    browser.until("a question takes no click that was meant for the one before", CLOSED)
    browser.until("what waits is drawn again", READY)
    browser.until("the browser keeps nothing", "!document.cookie && !localStorage.length && !sessionStorage.length")
    browser.shoot(shots, "ask")
    browser.evaluate("document.querySelector('#waiting button.once').click()")
    browser.until("a script's click answers nothing", WAITS)
    browser.click("#waiting button.once")
    run.prints("once lets pass", ["passed"])
    browser.until("and is told of", "document.getElementById('asked').innerText.includes('once')")

    run = Run("https://git.test/closed?secret")
    browser.until("a request is shown by method and path", "document.getElementById('waiting').innerText.includes('wants GET /closed on git.test:443')")
    browser.until("its button waits", READY)
    browser.click("#waiting button.no")
    run.prints("no refuses", ["refused"])
    run = Run("https://git.test/run", "https://git.test/run")
    browser.until("another question", READY)
    browser.click("#waiting button.run")
    run.prints("this run holds for the run", ["passed", "passed"])
    run = Run("https://git.test/hour")
    browser.until("another question", READY)
    browser.click("#waiting button.hour")
    run.prints("this hour lets pass", ["passed"])
    Run("https://git.test/hour").prints("and the next run as well", ["passed"])
    browser.until("all is listed", "['once', 'no', 'this run', 'this hour'].every((a) => document.getElementById('asked').innerText.includes(a))")
    browser.until("a query is nowhere", "!document.body.innerText.includes('secret')")
    browser.shoot(shots, "asked", whole=True)
    found = list(browser.complaints())
    if found:
        raise SystemExit("FAILED: the browser complains: " + "\n".join(found))

    browser.evaluate("location.hash = '" + link.split("#")[1] + "'")
    browser.until("a link works once", "document.getElementById('answering').innerText.includes('used up') && !location.hash")
    browser.call("Page.reload")
    browser.until("a page that is loaded again may not answer", "document.getElementById('state')?.textContent === 'up, live' && document.getElementById('answering').innerText.includes('agentproxy ask --page')")
    terminal.type("p")
    browser.evaluate("location.hash = '" + terminal.link().split("#")[1] + "'")
    browser.until("until it has another link", "document.getElementById('answering').innerText.includes('may answer')")

    Foreign.tunnel = url
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    run = Run("https://git.test/foreign")
    browser.until("a question waits", READY)
    browser.call("Page.navigate", url=f"http://127.0.0.1:{server.server_address[1]}/")
    browser.until("another site tries to answer", "document.title === 'tried'")
    server.shutdown()
    browser.call("Page.navigate", url=page)
    browser.until("and it still waits", WAITS)
    terminal.type("p")
    browser.evaluate("location.hash = '" + terminal.link().split("#")[1] + "'")
    browser.until("the page may answer again", READY)
    browser.click("#waiting button.no")
    run.prints("and says no", ["refused"])
    run = Run("https://git.test/always")
    browser.until("what always writes is said", "document.getElementById('waiting').innerText.includes('always writes GET git.test/always into " + config + "')")
    browser.until("its button waits", READY)
    browser.click("#waiting button.always")
    run.prints("always lets pass", ["passed"])
    with open(config) as f:
        if '"GET git.test/always"' not in f.read():
            raise SystemExit("FAILED: always is not in the configuration")
    terminal.end()
    browser.until("when the terminal has ended the page says so", "document.getElementById('asks').innerText.startsWith('Nobody listens')")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "")
