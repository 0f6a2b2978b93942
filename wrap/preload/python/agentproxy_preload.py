"""What sitecustomize.py beside this file does to the modules that it waits for; each function is named after one.

A TLS connection to a remote host that no proxy is configured for is dialled through a tunnel that the proxy is asked
for. The handshake, its verification and its roots stay the caller's. So requests, pip, httpx, botocore and
urllib.request, which read the variables themselves, do as ever.

Limits: http:// proxies only; an HTTPSConnection with a "connect" of its own (httplib2); copies of urllib3 under other
names; trio, and event loops that are not asyncio's own (uvloop).
"""
import base64
import os
import socket
from urllib.parse import unquote, urlsplit

END = b"\r\n\r\n"  # what a closed connection is taken for
# The options of create_connection that are about dialling.
DIALLING = ("family", "proto", "flags", "local_addr", "happy_eyeballs_delay", "interleave", "all_errors")


class Proxy:
    """What the environment said at the start."""

    def __init__(self, url, no_proxy):
        parts = urlsplit(url if "://" in url else "http://" + url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("not a proxy we speak to")
        self.host, self.port = parts.hostname, parts.port or 80
        self.shown = "http://" + parts.netloc.rpartition("@")[2]
        self.url, self.authorization = parts.geturl(), ""
        if parts.username is not None:
            login = unquote(parts.username) + ":" + unquote(parts.password or "")
            self.authorization = "Proxy-Authorization: Basic %s\r\n" % base64.b64encode(login.encode()).decode()
        self.exceptions = [self.exception(e) for e in no_proxy.lower().replace(",", " ").split()]

    @staticmethod
    def exception(entry):
        """Parses one entry of NO_PROXY: a name with its subdomains, an address, "*"; a port may follow."""
        host, colon, port = entry.rpartition(":")
        if not colon or not port.isdigit() or (":" in host and not host.endswith("]")):
            host, port = entry, ""
        host = host.strip("[]")
        return (host if host == "*" else host[2:] if host.startswith("*.") else host.lstrip(".")), port

    def is_direct(self, host, port):
        host = str(host).lower().strip("[]").rstrip(".")
        if host in ("localhost", "::1", "::", "0.0.0.0", "") or host.endswith(".localhost") or host.startswith("127."):
            return True
        if (host, int(port)) == (self.host, self.port):
            return True
        return any(port_ in ("", str(port)) and (name == "*" or host == name or (name and host.endswith("." + name)))
                   for name, port_ in self.exceptions)

    def request(self, host, port):
        """Returns what to send for a tunnel, and its target."""
        host = host.strip("[]")
        if any(c > "\x7f" for c in host):
            host = host.encode("idna").decode()
        target = "%s:%d" % ("[%s]" % host if ":" in host else host, port)
        return ("CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (target, target, self.authorization)).encode(), target

    @staticmethod
    def answered(head):
        # In TLS the client speaks first, so nothing follows the head yet.
        return b"\r\n\r\n" in head or len(head) > 65536

    def check(self, target, head):
        """Raises unless head, the answer, opens the tunnel."""
        status = head.split(b"\r\n")[0].decode("latin-1").split(" ", 1)
        if not status[0].startswith("HTTP/1.") or len(status) < 2 or not status[1].startswith("2"):
            raise OSError("agentproxy refused CONNECT %s: %s" % (target, " ".join(status[1:]) or "not an answer of HTTP"))

    def unreachable(self, err):
        return OSError(err.errno, "the proxy of agentproxy at %s is not reachable: %s" % (self.shown, err.strerror or err))

    def dial(self, host, port, *args, **kwargs):
        """socket.create_connection to the other side of a tunnel."""
        try:
            sock = socket.create_connection((self.host, self.port), *args, **kwargs)
        except OSError as err:
            raise self.unreachable(err) if err.errno else err
        try:
            request, target = self.request(host, int(port))
            sock.sendall(request)
            head = b""
            while not self.answered(head):
                head += sock.recv(4096) or END
            self.check(target, head)
        except BaseException:
            sock.close()
            raise
        return sock


def http_client(proxy, module):
    real = module.HTTPSConnection.connect

    def connect(self, *args, **kwargs):
        if self._tunnel_host or proxy.is_direct(self.host, self.port):
            return real(self, *args, **kwargs)
        create = self._create_connection
        self._create_connection = lambda address, *args: proxy.dial(address[0], address[1], *args)
        try:
            return real(self, *args, **kwargs)
        finally:
            self._create_connection = create

    module.HTTPSConnection.connect = connect


def urllib3(proxy, module):
    real = module.HTTPSConnection._new_conn

    def _new_conn(self):
        if self._tunnel_host or getattr(self, "proxy", None) or proxy.is_direct(self.host, self.port):
            return real(self)
        try:
            timeout = self.timeout if isinstance(self.timeout, (int, float, type(None))) else socket.getdefaulttimeout()
            sock = proxy.dial(self.host, self.port, timeout, self.source_address)
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            return sock
        except socket.timeout as err:
            raise module.ConnectTimeoutError(self, "the proxy of agentproxy did not answer in time") from err
        except OSError as err:
            raise module.NewConnectionError(self, str(err)) from err

    module.HTTPSConnection._new_conn = _new_conn


def urllib3_pool(proxy, module):
    roots, init = os.environ.get("SSL_CERT_FILE"), module.HTTPSConnectionPool.__init__
    if roots and os.path.exists(roots) and init.__defaults__:
        init.__defaults__ = tuple(roots if d == "/etc/ssl/certs/ca-certificates.crt" else d for d in init.__defaults__)


def aiohttp(proxy, module):
    from aiohttp.helpers import strip_auth_from_url
    from yarl import URL
    real = module.ClientRequest.update_proxy

    def update_proxy(self, given, *args, **kwargs):
        if given is None and self.is_ssl() and not proxy.is_direct(self.url.host, self.url.port):
            url, auth = strip_auth_from_url(URL(proxy.url))
            return real(self, url, auth, None)
        return real(self, given, *args, **kwargs)

    module.ClientRequest.update_proxy = update_proxy


def asyncio(proxy, module):
    real = module.BaseEventLoop.create_connection

    async def create_connection(self, protocol_factory, host=None, port=None, **options):
        if not options.get("ssl") or options.get("sock") or not host or proxy.is_direct(host, port):
            return await real(self, protocol_factory, host, port, **options)
        infos = await self.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
        sock = socket.socket(*infos[0][:3])
        try:
            sock.setblocking(False)
            try:
                await self.sock_connect(sock, infos[0][4])
            except OSError as err:
                raise proxy.unreachable(err) from err
            request, target = proxy.request(host, port)
            await self.sock_sendall(sock, request)
            head = b""
            while not proxy.answered(head):
                head += await self.sock_recv(sock, 4096) or END
            proxy.check(target, head)
            if options.get("server_hostname") is None:
                options["server_hostname"] = host
            for name in DIALLING:
                options.pop(name, None)
            return await real(self, protocol_factory, sock=sock, **options)
        except BaseException:
            sock.close()
            raise

    module.BaseEventLoop.create_connection = create_connection
