// A socket of its own, and OpenSSL's default roots.
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int error = getaddrinfo("git.test", "443", &hints, &found);
	if (error) return fprintf(stderr, "git.test: %s\n", gai_strerror(error)), 1;
	int fd = socket(found->ai_family, SOCK_STREAM, 0);
	if (connect(fd, found->ai_addr, found->ai_addrlen)) return perror("connect to git.test:443"), 1;
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_default_verify_paths(context);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL *ssl = SSL_new(context);
	SSL_set_tlsext_host_name(ssl, "git.test");
	SSL_set1_host(ssl, "git.test");
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) != 1) return ERR_print_errors_fp(stderr), 1;
	static const char request[] = "GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n";
	SSL_write(ssl, request, sizeof request - 1);
	char buffer[4096];
	for (int n; (n = SSL_read(ssl, buffer, sizeof buffer)) > 0;) fwrite(buffer, 1, n, stdout);
	return 0;
}
