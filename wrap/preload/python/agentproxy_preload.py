"""What sitecustomize.py beside this file does to the modules that it waits for; each function is named after one.

A TLS connection to a remote host that no proxy is configured for is dialled through a tunnel that the proxy is asked
for. The handshake, its verification and its roots stay the caller's. So requests, pip, httpx, botocore and
urllib.request, which read the variables themselves, do as ever.

Each function looks first whether the module is the one it was written for: its place, its version, and the shape of what
is to be replaced. And each connection whether the program dials by means of its own: sockets, names or resolvers that a
test or another library has put in place of Python's, gevent's or eventlet's. Where it is not sure the original does as
without us. A fault of ours on the way takes the patch back, and the original is called.

Limits: http:// proxies only; an HTTPSConnection that dials by means of its own (httplib2); copies of urllib3 under other
names; trio, and event loops that are not asyncio's own (uvloop).
"""
import os
import sys

END = b"\r\n\r\n"  # what a closed connection is taken for
# The options of create_connection that are about dialling.
DIALLING = ("family", "proto", "flags", "local_addr", "happy_eyeballs_delay", "interleave", "all_errors")
# What is raised by mistakes in this file, or by a library that is not what it was taken for; not by a network.
FAULTS = (ArithmeticError, AttributeError, ImportError, LookupError, NameError, NotImplementedError, TypeError, ValueError)
GREEN = ("gevent", "eventlet")


class Unknown(Exception):
    """The module is not the one that a patch was written for."""


def expect(*facts):
    if not all(facts):
        raise Unknown("another version, or another module of this name")


class Proxy:
    """What the environment said at the start."""

    def __init__(self, url, no_proxy, bundle):
        self.given, self.no_proxy, self.bundle = url, no_proxy, bundle
        self.parsed, self.sockets = None, None

    def __getattr__(self, name):
        # The URL is taken apart at the first connection, with a module that a program may not have needed before.
        if self.parsed is None:
            self.parsed = self.parse()
            self.__dict__.update(self.parsed)
        return object.__getattribute__(self, name)

    def parse(self):
        from urllib.parse import unquote, urlsplit
        parts = urlsplit(self.given if "://" in self.given else "http://" + self.given)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("not a proxy we speak to")
        authorization = ""
        if parts.username is not None:
            from binascii import b2a_base64
            login = unquote(parts.username) + ":" + unquote(parts.password or "")
            authorization = "Proxy-Authorization: Basic %s\r\n" % b2a_base64(login.encode(), newline=False).decode()
        return {
            "host": parts.hostname, "port": parts.port or 80, "url": parts.geturl(), "authorization": authorization,
            "shown": "http://" + parts.netloc.rpartition("@")[2],
            "exceptions": [self.exception(e) for e in self.no_proxy.lower().replace(",", " ").split()],
        }

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
        if host in ("localhost", "::1", "::", "0.0.0.0", "") or host.endswith(".localhost") or host.startswith(("127.", "::ffff:127.")):
            return True
        if (host, int(port)) == (self.host, self.port):
            return True
        return any(port_ in ("", str(port)) and (name == "*" or host == name or (name and host.endswith("." + name)))
                   for name, port_ in self.exceptions)

    def watch(self, socket):
        """Notes what dialling is made of; see dials_plainly."""
        if self.sockets is None:
            self.sockets = socket, {name: getattr(socket, name) for name in ("socket", "create_connection", "getaddrinfo")}
            expect(*[self.is_plain(f, f) for f in self.sockets[1].values()])

    @staticmethod
    def is_plain(function, before):
        whose = str(getattr(function, "__module__", "")).partition(".")[0]
        return whose in GREEN or function is before and whose in ("socket", "_socket")

    def dials_plainly(self):
        """Reports whether nobody but gevent or eventlet has put anything in place of Python's way to dial."""
        socket, before = self.sockets
        return all(self.is_plain(getattr(socket, name), function) for name, function in before.items())

    def request(self, host, port):
        """Returns what to send for a tunnel, and its target."""
        host = host.strip("[]")
        if any(c > "\x7f" for c in host):
            host = host.encode("idna").decode()
        target = "%s:%d" % ("[%s]" % host if ":" in host else host, int(port))
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

    def ask(self, sock, host, port):
        """Has the other side of sock, a connection to the proxy, make it one to host; an error closes it."""
        try:
            request, target = self.request(host, port)
            sock.sendall(request)
            head = b""
            while not self.answered(head):
                head += sock.recv(4096) or END
            self.check(target, head)
        except BaseException:
            sock.close()
            raise
        return sock


def like(real):
    """Has a function look like the one that it stands for, to those who print, pickle or inspect it."""
    def alike(function):
        for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
            if hasattr(real, name):
                setattr(function, name, getattr(real, name))
        function.__wrapped__ = real
        return function

    return alike


class Method:
    """Takes a function's place in a class, and is that function for whom bound does not answer for."""

    def __init__(self, owner, real, bound):
        self.owner, self.real, self.bound, self.name = owner, real, bound, real.__name__
        self.__doc__, self.__wrapped__ = real.__doc__, real
        self.inherited = self.name not in vars(owner)
        setattr(owner, self.name, self)

    def __get__(self, instance, owner=None):
        if instance is not None:
            try:
                bound = self.bound(self, instance)
                if bound is not None:
                    return bound
            except FAULTS:
                self.undo()
        return self.real.__get__(instance, owner)

    def undo(self):
        """Takes the patch back after a fault."""
        note("%s.%s" % (self.owner.__module__, self.real.__qualname__))
        if vars(self.owner).get(self.name) is self:
            if self.inherited:
                delattr(self.owner, self.name)
            else:
                setattr(self.owner, self.name, self.real)


def code(function):
    """Returns the code of a function of Python's, which nobody has put something else in place of."""
    expect(type(function) is type(code))
    return function.__code__


def in_library(module):
    expect(os.path.dirname(os.path.dirname(module.__file__)) == os.path.dirname(os.__file__))
    expect((3, 6) <= sys.version_info < (3, 15))


class Dialler:
    """The _create_connection of http.client's connections; it stands in their __dict__ as before."""

    def __init__(self, proxy, owner):
        self.proxy, self.owner = proxy, owner
        owner._create_connection = self

    def __get__(self, conn, owner=None):
        try:
            real = vars(conn)["_create_connection"]
        except (KeyError, TypeError):
            raise AttributeError("_create_connection") from None
        try:
            proxy = self.proxy
            if conn._tunnel_host or real is not proxy.sockets[0].create_connection or not proxy.dials_plainly():
                return real
            if proxy.is_direct(conn.host, conn.port):
                return real
        except FAULTS:
            self.undo()
            return real

        @like(real)
        def create_connection(address, *args, **kwargs):
            if address != (conn.host, conn.port):  # a way out of its own
                return real(address, *args, **kwargs)
            try:
                sock = real((proxy.host, proxy.port), *args, **kwargs)
            except OSError as err:
                raise proxy.unreachable(err) if err.errno else err
            try:
                return proxy.ask(sock, *address)
            except FAULTS:
                self.undo()
            return real(address, *args, **kwargs)

        return create_connection

    def __set__(self, conn, value):
        vars(conn)["_create_connection"] = value

    def __delete__(self, conn):
        del vars(conn)["_create_connection"]

    def undo(self):
        note("http.client")
        if vars(self.owner).get("_create_connection") is self:
            del self.owner._create_connection


def http_client(proxy, module):
    in_library(module)
    owner = module.HTTPSConnection
    expect(owner.__bases__ == (module.HTTPConnection,), "_create_connection" not in vars(owner))
    expect("_create_connection" in code(module.HTTPConnection.__init__).co_names)
    expect({"_create_connection", "host", "port", "_tunnel_host"} <= set(code(module.HTTPConnection.connect).co_names))
    expect("_create_connection" not in code(owner.connect).co_names)
    proxy.watch(module.socket)
    Dialler(proxy, owner)


def asks_system(resolver):
    """Reports whether one of urllib3-future's resolvers asks the system's alone."""
    resolvers = [resolver]
    if type(resolver).__name__ == "ManyResolver":
        resolvers = resolver._unconstrained + resolver._constrained
    return all(type(r).__name__ == "SystemResolver" for r in resolvers)


def urllib3(proxy, module):
    owner, version = module.HTTPSConnection, sys.modules["urllib3._version"].__version__.split(".")
    real = owner._new_conn
    names = set(code(real).co_names)
    expect(version[0] in ("1", "2"), code(real).co_argcount == 1, {"_dns_host", "port", "timeout", "create_connection"} <= names)
    expect(issubclass(module.NewConnectionError, Exception), issubclass(module.ConnectTimeoutError, Exception))
    dial = None if "_resolver" in names else module.connection.create_connection  # urllib3-future has resolvers
    proxy.watch(sys.modules["socket"])

    def tunnelled(method, conn):
        if conn._tunnel_host or getattr(conn, "proxy", None) or proxy.is_direct(conn.host, conn.port) or not proxy.dials_plainly():
            return None
        if dial is not None and module.connection.create_connection is not dial:
            return None
        if dial is None and (not asks_system(conn._resolver) or conn.socket_kind != sys.modules["socket"].SOCK_STREAM):
            return None  # names of the program's own, QUIC

        def _new_conn():
            dns, port = conn._dns_host, conn.port
            # The library dials as ever, with its options and timeouts, but to the proxy.
            conn._dns_host, conn.port = proxy.host, proxy.port
            try:
                sock = real(conn)
            except module.NewConnectionError as err:
                raise type(err)(conn, "the proxy of agentproxy at %s is not reachable: %s" % (proxy.shown, err.__cause__ or err)) from err
            finally:
                conn._dns_host, conn.port = dns, port
            try:
                return proxy.ask(sock, dns, port)
            except sys.modules["socket"].timeout as err:
                raise module.ConnectTimeoutError(conn, "the proxy of agentproxy did not answer in time") from err
            except OSError as err:
                raise module.NewConnectionError(conn, str(err)) from err
            except FAULTS:
                method.undo()
            return real(conn)

        return _new_conn

    Method(owner, real, tunnelled)


def urllib3_pool(proxy, module):
    roots, init = os.environ.get("SSL_CERT_FILE"), module.HTTPSConnectionPool.__init__
    debian = "/etc/ssl/certs/ca-certificates.crt"
    if roots and os.path.exists(roots) and debian in (code(init).co_consts and init.__defaults__ or ()):
        init.__defaults__ = tuple(roots if d == debian else d for d in init.__defaults__)


def aiohttp(proxy, module):
    owner = module.ClientRequest
    real = owner.update_proxy
    expect(sys.modules["aiohttp"].__version__.startswith("3."))
    expect(code(real).co_varnames[:4] == ("self", "proxy", "proxy_auth", "proxy_headers"), code(real).co_argcount == 4)
    helpers, url = module.helpers, module.URL
    expect(code(helpers.strip_auth_from_url))
    proxy.watch(sys.modules["socket"])

    def tunnelled(method, request):
        if not request.is_ssl() or proxy.is_direct(request.url.host, request.url.port) or not proxy.dials_plainly():
            return None
        connector = request._session._connector
        if type(connector) is not sys.modules["aiohttp.connector"].TCPConnector or getattr(connector, "_socket_factory", None):
            return None
        if type(connector._resolver).__module__ != "aiohttp.resolver":
            return None  # names of the program's own

        def update_proxy(given, *args, **kwargs):
            if given is None:
                try:
                    given, auth = helpers.strip_auth_from_url(url(proxy.url))
                    args, kwargs = (auth, None), {}
                except FAULTS:
                    method.undo()
            return real(request, given, *args, **kwargs)

        return update_proxy

    Method(owner, real, tunnelled)


def asyncio(proxy, module):
    in_library(module)
    owner, socket = module.BaseEventLoop, module.socket
    real = owner.create_connection
    expect(code(real).co_varnames[:4] == ("self", "protocol_factory", "host", "port"), code(real).co_argcount == 4)
    getaddrinfo = owner.getaddrinfo
    proxy.watch(socket)

    def dials(loop, host, port, options):
        if not options.get("ssl") or options.get("sock") or not host or not port or proxy.is_direct(host, port):
            return False
        return proxy.dials_plainly() and type(loop).getaddrinfo is getaddrinfo and isinstance(host, str)

    async def tunnel(loop, host, port):
        """Returns a socket whose other end is host, through the proxy."""
        infos = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
        sock = socket.socket(*infos[0][:3])
        try:
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, infos[0][4])
            except OSError as err:
                raise proxy.unreachable(err) from err
            request, target = proxy.request(host, port)
            await loop.sock_sendall(sock, request)
            head = b""
            while not proxy.answered(head):
                head += await loop.sock_recv(sock, 4096) or END
            proxy.check(target, head)
        except BaseException:
            sock.close()
            raise
        return sock

    @like(real)
    async def create_connection(self, protocol_factory, host=None, port=None, **options):
        sock = None
        try:
            if dials(self, host, port, options):
                sock = await tunnel(self, host, port)
        except FAULTS:
            note("asyncio.base_events")
            if owner.create_connection is create_connection:
                owner.create_connection = real
        if sock is None:
            return await real(self, protocol_factory, host, port, **options)
        if options.get("server_hostname") is None:
            options["server_hostname"] = host
        for name in DIALLING:
            options.pop(name, None)
        try:
            return await real(self, protocol_factory, sock=sock, **options)
        except BaseException:
            sock.close()
            raise

    owner.create_connection = create_connection


def certifi(proxy, module):
    """Has certifi name the merged bundle, whose own file no variable reaches. "python -m certifi" tells where the package is."""
    bundle, where, contents = proxy.bundle, module.where, module.contents
    expect(bundle, code(where).co_argcount == 0, code(contents).co_argcount == 0)
    expect(os.path.basename(os.path.dirname(module.__file__)) == "certifi", not where.__defaults__)

    def usable():
        return os.path.exists(bundle) and os.path.join("certifi", "__main__.py") not in str(getattr(sys.modules.get("__main__"), "__file__", ""))

    @like(where)
    def merged_where():
        return bundle if usable() else where()

    @like(contents)
    def merged_contents():
        try:
            if usable():
                with open(bundle, encoding="ascii") as f:
                    return f.read()
        except (OSError, ValueError):
            pass  # a remark of the user's in it is not ASCII, which contents is
        return contents()

    # The package has them by name; it may have been imported before the hook was there (by a .pth file).
    for owner in (module, sys.modules.get("certifi")):
        for name, real, merged in (("where", where, merged_where), ("contents", contents, merged_contents)):
            if getattr(owner, name, None) is real:
                setattr(owner, name, merged)
