// A socket of its own, and the roots that GnuTLS takes from the system.
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void) {
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int error = getaddrinfo("git.test", "443", &hints, &found);
	if (error) return fprintf(stderr, "git.test: %s\n", gai_strerror(error)), 1;
	int fd = socket(found->ai_family, SOCK_STREAM, 0);
	if (connect(fd, found->ai_addr, found->ai_addrlen)) return perror("connect to git.test:443"), 1;
	gnutls_certificate_credentials_t credentials;
	gnutls_certificate_allocate_credentials(&credentials);
	gnutls_certificate_set_x509_system_trust(credentials);
	gnutls_session_t session;
	gnutls_init(&session, GNUTLS_CLIENT);
	gnutls_set_default_priority(session);
	gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
	gnutls_server_name_set(session, GNUTLS_NAME_DNS, "git.test", 8);
	gnutls_session_set_verify_cert(session, "git.test", 0);
	gnutls_transport_set_int(session, fd);
	error = gnutls_handshake(session);
	if (error < 0) return fprintf(stderr, "git.test: %s\n", gnutls_strerror(error)), 1;
	static const char request[] = "GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n";
	gnutls_record_send(session, request, sizeof request - 1);
	char buffer[4096];
	for (int n; (n = gnutls_record_recv(session, buffer, sizeof buffer)) > 0 || n == GNUTLS_E_AGAIN;) // a session ticket
		if (n > 0) fwrite(buffer, 1, n, stdout);
	return 0;
}
