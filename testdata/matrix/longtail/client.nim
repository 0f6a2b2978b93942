# Nim's client, with a context of its own and no proxy.
import std/[httpclient, net]

let client = newHttpClient(sslContext = newContext(verifyMode = CVerifyPeer))
echo client.getContent("https://git.test/echo")
