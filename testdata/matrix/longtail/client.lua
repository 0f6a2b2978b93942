-- Fetches https://git.test/echo by the means that it is told, with the roots of the system.
local roots = { mode = "client", protocol = "any", verify = "peer", capath = "/etc/ssl/certs", cafile = "/etc/ssl/certs/ca-certificates.crt" }
if arg[1] == "https" then
	local parts = {}
	roots.url, roots.sink = "https://git.test/echo", require("ltn12").sink.table(parts)
	assert(require("ssl.https").request(roots))
	print(table.concat(parts))
else
	local socket = require("socket").tcp()
	assert(socket:connect("git.test", 443))
	socket = assert(require("ssl").wrap(socket, roots))
	socket:sni("git.test")
	assert(socket:dohandshake())
	socket:send("GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n")
	print((socket:receive("*a")))
end
