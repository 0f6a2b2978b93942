package classify

import "testing"

func TestNearestHost(t *testing.T) {
	for text, want := range map[string]string{
		`curl: (60) SSL certificate problem. More details here: https://curl.se/docs/sslcerts.html`: "",
		`at TLSSocket.onConnectSecure (node:_tls_wrap:1679:34) index.js:10`:                         "",
		`handshake.erl:2020: alert`:                                          "",
		`HttpURLConnection.java:1584`:                                        "",
		`HTTPSConnectionPool(host='api.example.com', port=443): Max retries`: "api.example.com",
		`getaddrinfo ENOTFOUND a.example`:                                    "a.example",
		`dial tcp: lookup a.example on 10.0.0.2:53: no such host`:            "a.example",
		`fetch https://user:secret@a.example:8443/docker/x failed`:           "a.example",
		`could not connect to a.example:443`:                                 "a.example",
		`failed, see https://docs.b.example/x: Get https://a.example/v2/`:    "a.example",
		`error; read https://b.example/faq#tls`:                              "",
		`connect ECONNREFUSED 127.0.0.1:8080`:                                "",
		`get https://localhost:1/ and https://a.example/`:                    "a.example",
		`https://github.example/org/repo/issues/12 has more`:                 "",
	} {
		if got := nearestHost(text); got != want {
			t.Errorf("%s: %q, not %q", text, got, want)
		}
	}
}
