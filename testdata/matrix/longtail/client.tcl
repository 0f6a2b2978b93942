# Fetches https://git.test/echo with Tcl's http, or over a socket of tls.
package require tls
set roots {-autoservername 1 -require 1 -cadir /etc/ssl/certs -cafile /etc/ssl/certs/ca-certificates.crt}
if {[lindex $argv 0] eq "http"} {
	package require http
	http::register https 443 [list tls::socket {*}$roots]
	set token [http::geturl https://git.test/echo]
	if {[http::status $token] ne "ok"} { error [http::error $token] }
	puts [http::data $token]
} else {
	set socket [tls::socket {*}$roots git.test 443]
	fconfigure $socket -translation crlf
	puts $socket "GET /echo HTTP/1.0\nHost: git.test\n"
	flush $socket
	puts [read $socket]
}
