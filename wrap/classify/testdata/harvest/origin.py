"""A proxy and the origins behind it, on loopback, for harvest.py.

Every CONNECT leads to an origin of ours whatever its host: the host decides what is
wrong there (expired.example, wrong.example, stranger.example, denied.example), and the path
of a request which status the origin answers with (/403).
"""
import http.server
import os
import socket
import ssl
import subprocess
import threading


def run(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificates(folder):
    """Makes a CA that clients know, one that they do not, and the leaves of both."""
    for ca in "known", "unknown":
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={ca} root",
            "-keyout", f"{folder}/{ca}.key", "-out", f"{folder}/{ca}.pem")
    for leaf, ca, names, times in (
            ("api", "known", "DNS:api.example.com,DNS:git.example.com,DNS:localhost", ("20250101000000Z", "20401231000000Z")),
            ("expired", "known", "DNS:expired.example.com", ("20200101000000Z", "20200201000000Z")),
            ("wrong", "known", "DNS:other.example.net", ("20250101000000Z", "20401231000000Z")),
            ("stranger", "unknown", "DNS:stranger.example.com,DNS:localhost", ("20250101000000Z", "20401231000000Z"))):
        with open(f"{folder}/{leaf}.cnf", "w") as f:
            f.write(f"[ca]\ndefault_ca=d\n[d]\ndir={folder}\ndatabase={folder}/{leaf}.db\nserial={folder}/{leaf}.serial\n"
                    f"new_certs_dir={folder}\ndefault_md=sha256\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n"
                    f"[x]\nsubjectAltName={names}\n")
        open(f"{folder}/{leaf}.db", "w").close()
        with open(f"{folder}/{leaf}.serial", "w") as f:
            f.write("%02X\n" % (0x10 + len(leaf)))
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={names.split(',')[0][4:]}",
            "-keyout", f"{folder}/{leaf}.key", "-out", f"{folder}/{leaf}.csr")
        run("openssl", "ca", "-batch", "-config", f"{folder}/{leaf}.cnf", "-cert", f"{folder}/{ca}.pem", "-keyfile", f"{folder}/{ca}.key",
            "-startdate", times[0], "-enddate", times[1], "-in", f"{folder}/{leaf}.csr", "-out", f"{folder}/{leaf}.crt")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    flaky = {}

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        part = self.path.strip("/").split("/")[0].split("?")[0]
        code = int(part) if part.isdigit() else 200
        if part.startswith("flaky"):
            n = Handler.flaky[self.path] = Handler.flaky.get(self.path, 0) + 1
            if n < 3:
                if part.endswith("reset"):
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                code = 503
        body = b'{"status": %d, "message": "%s"}\n' % (code, http.server.BaseHTTPRequestHandler.responses.get(code, ("ok",))[0].encode())
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="api"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_OPTIONS = do_PROPFIND = answer

    def log_message(self, *args):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *args):
        pass


def serve(context=None):
    server = Quiet(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def copy(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in a, b:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def proxy(folder, refuse=""):
    """Starts the proxy. One with a refusal answers every CONNECT so, or cuts every handshake."""
    ports = {}
    for leaf in "api", "expired", "wrong", "stranger":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/{leaf}.crt", f"{folder}/{leaf}.key")
        ports[leaf] = serve(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def handle(client):
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65536)
            if not data:
                return client.close()
            head += data
        method, target = head.split(b" ")[:2]
        target = target.decode()
        if method != b"CONNECT":
            answer = "405 Method Not Allowed"
        elif target.startswith("denied."):
            answer = "403 Forbidden"
        elif target.startswith("gone."):
            answer = "502 Bad Gateway"
        else:
            answer = refuse
        if answer == "cut":
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            client.recv(65536)
            return client.close()
        if answer:
            client.sendall(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n{'Proxy-Authenticate: Basic realm=p' + chr(13) + chr(10) if '407' in answer else ''}Connection: close\r\n\r\n".encode())
            return client.close()
        port = ports.get(target.split(".")[0], ports["api"])
        upstream = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=copy, args=(client, upstream), daemon=True).start()
        copy(upstream, client)

    def accept():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=handle, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1], ports
