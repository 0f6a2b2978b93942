"""Fetches https://git.test/echo by the means that it is told, none of which reads HTTPS_PROXY."""
import asyncio
import socket
import ssl
import sys

URL = "https://git.test/echo"
REQUEST = b"GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n"


def read_all(connection):
    connection.sendall(REQUEST)
    return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def sockets():
    return read_all(ssl.create_default_context().wrap_socket(socket.create_connection(("git.test", 443)), server_hostname="git.test"))


def http_client():
    import http.client
    connection = http.client.HTTPSConnection("git.test")
    connection.request("GET", "/echo")
    return connection.getresponse().read().decode()


def streams():
    async def main():
        reader, writer = await asyncio.open_connection("git.test", 443, ssl=True)
        writer.write(REQUEST)
        return (await reader.read()).decode()
    return asyncio.run(main())


def tornado():
    from tornado.httpclient import AsyncHTTPClient

    async def main():
        return (await AsyncHTTPClient().fetch(URL)).body.decode()
    return asyncio.run(main())


def twisted():
    from twisted.internet import task
    from twisted.web.client import Agent, readBody

    async def main(reactor):
        print((await readBody(await Agent(reactor).request(b"GET", URL.encode()))).decode())
    task.react(lambda reactor: __import__("twisted.internet.defer").internet.defer.ensureDeferred(main(reactor)))


def aiohttp():
    import aiohttp

    async def main():
        async with aiohttp.ClientSession(trust_env=False) as session, session.get(URL) as answer:
            return await answer.text()
    return asyncio.run(main())


def requests():
    import requests
    session = requests.Session()
    session.trust_env = False
    return session.get(URL).text


def httpx():
    import httpx
    return httpx.Client(trust_env=False).get(URL).text


def urllib3():
    import urllib3
    return urllib3.PoolManager().request("GET", URL, retries=False).data.decode()


def niquests():
    import niquests
    session = niquests.Session()
    session.trust_env = False
    return session.get(URL).text


def httplib2():
    import httplib2
    return httplib2.Http(proxy_info=None).request(URL)[1].decode()


def pycurl():
    import pycurl
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, URL)
    curl.setopt(pycurl.PROXY, "")
    curl.perform()


def pyopenssl():
    from OpenSSL import SSL
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_default_verify_paths()
    context.set_verify(SSL.VERIFY_PEER, lambda connection, cert, error, depth, ok: bool(ok))
    connection = SSL.Connection(context, socket.create_connection(("git.test", 443)))
    connection.set_tlsext_host_name(b"git.test")
    connection.set_connect_state()
    connection.do_handshake()
    connection.sendall(REQUEST)
    return connection.recv(4096).decode()


def gio():
    from gi.repository import Gio
    client = Gio.SocketClient(tls=True)
    client.set_enable_proxy(False)
    connection = client.connect_to_host("git.test", 443, None)
    connection.get_output_stream().write(REQUEST)
    return connection.get_input_stream().read_bytes(4096).get_data().decode()


def soup():
    import gi
    gi.require_version("Soup", "3.0")
    from gi.repository import Soup
    session = Soup.Session()
    session.set_proxy_resolver(None)
    return session.send_and_read(Soup.Message.new("GET", URL)).get_data().decode()


def qt():
    from PyQt5.QtCore import QCoreApplication, QUrl
    from PyQt5.QtNetwork import QNetworkAccessManager, QNetworkReply, QNetworkRequest
    application, manager = QCoreApplication([]), QNetworkAccessManager()
    answer = manager.get(QNetworkRequest(QUrl(URL)))
    answer.finished.connect(application.quit)
    application.exec_()
    if answer.error() != QNetworkReply.NoError:
        sys.exit(answer.errorString())
    return bytes(answer.readAll()).decode()


def six_variables():
    """Starts a server as clients of the Model Context Protocol do: with six variables."""
    import os
    import subprocess
    names = "HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"
    environ = {name: os.environ[name] for name in names if name in os.environ}
    return subprocess.run(["curl", "-sS", URL], env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout


print(globals()[sys.argv[1]]())
