// wolfSSL, which finds the system's roots by itself.
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void) {
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int error = getaddrinfo("git.test", "443", &hints, &found);
	if (error) return fprintf(stderr, "git.test: %s\n", gai_strerror(error)), 1;
	int fd = socket(found->ai_family, SOCK_STREAM, 0);
	if (connect(fd, found->ai_addr, found->ai_addrlen)) return perror("connect to git.test:443"), 1;
	wolfSSL_Init();
	WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLS_client_method());
	if (wolfSSL_CTX_load_system_CA_certs(context) != WOLFSSL_SUCCESS) return fputs("no roots\n", stderr), 1;
	WOLFSSL *ssl = wolfSSL_new(context);
	wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, "git.test", 8);
	wolfSSL_check_domain_name(ssl, "git.test");
	wolfSSL_set_fd(ssl, fd);
	if (wolfSSL_connect(ssl) != WOLFSSL_SUCCESS) {
		char text[WOLFSSL_MAX_ERROR_SZ];
		return fprintf(stderr, "git.test: %s\n", wolfSSL_ERR_error_string(wolfSSL_get_error(ssl, 0), text)), 1;
	}
	static const char request[] = "GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n";
	wolfSSL_write(ssl, request, sizeof request - 1);
	char buffer[4096];
	for (int n; (n = wolfSSL_read(ssl, buffer, sizeof buffer)) > 0;) fwrite(buffer, 1, n, stdout);
	return 0;
}
