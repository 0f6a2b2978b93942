"""client.py CLIENT URL: gets URL with one of Python's ways to do so and prints the body; a failure is a traceback."""
import sys

client, url = sys.argv[1:]


def connection():
    try:
        from http.client import HTTPSConnection
    except ImportError:
        from httplib import HTTPSConnection
    host = url.split("/")[2]
    c = HTTPSConnection(host)
    for _ in range(2):  # the connection is kept
        c.request("GET", "/")
        body = c.getresponse().read().decode()
    c.close()
    c.request("GET", "/")  # and opened again
    assert c.host == host.split(":")[0]
    return c.getresponse().read().decode()


def urllib():
    try:
        from urllib.request import urlopen
    except ImportError:
        from urllib2 import urlopen
    return urlopen(url).read().decode()


def urllib3():
    import urllib3
    return urllib3.PoolManager(retries=False).request("GET", url).data.decode()


def urllib3_proxy():
    import os
    import urllib3
    return urllib3.ProxyManager(os.environ["HTTPS_PROXY"], retries=False).request("GET", url).data.decode()


def requests():
    import requests
    return requests.get(url).text


def requests_untrusting():
    """A session that ignores the environment."""
    import os
    import requests
    session = requests.Session()
    session.trust_env = False
    session.verify = os.environ["SSL_CERT_FILE"]
    return session.get(url).text


def httpx():
    import httpx
    return httpx.get(url).raise_for_status().text


def aiohttp(**options):
    import asyncio
    import aiohttp

    async def get():
        async with aiohttp.ClientSession(**options) as session:
            async with session.get(url) as response:
                return await response.text()

    return asyncio.get_event_loop_policy().new_event_loop().run_until_complete(get())


def aiohttp_env():
    return aiohttp(trust_env=True)


def boto3():
    import boto3
    import botocore.config
    sts = boto3.client("sts", region_name="r", endpoint_url=url, aws_access_key_id="a", aws_secret_access_key="b",
                       config=botocore.config.Config(retries={"max_attempts": 0}))
    return sts.get_caller_identity()["Account"]


def open_connection():
    import asyncio
    host = url.split("/")[2]

    async def get():
        reader, writer = await asyncio.open_connection(host, 443, ssl=True)
        writer.write(("GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host).encode())
        answer = await reader.read()
        writer.close()
        return answer.split(b"\r\n\r\n")[1].decode()

    return asyncio.new_event_loop().run_until_complete(get())


print(globals()[client]())
