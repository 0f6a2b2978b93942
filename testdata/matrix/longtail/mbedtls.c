// Mbed TLS, which has no default roots: those of the system's bundle.
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <stdio.h>

static int failed(const char *what, int error) {
	char text[200];
	mbedtls_strerror(error, text, sizeof text);
	return fprintf(stderr, "%s: %s\n", what, text), 1;
}

int main(void) {
	mbedtls_net_context net;
	mbedtls_net_init(&net);
	int error = mbedtls_net_connect(&net, "git.test", "443", MBEDTLS_NET_PROTO_TCP);
	if (error) return failed("connect to git.test:443", error);
	mbedtls_entropy_context entropy;
	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_context random;
	mbedtls_ctr_drbg_init(&random);
	mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0);
	mbedtls_x509_crt roots;
	mbedtls_x509_crt_init(&roots);
	error = mbedtls_x509_crt_parse_file(&roots, "/etc/ssl/certs/ca-certificates.crt");
	if (error < 0) return failed("roots", error);
	mbedtls_ssl_config config;
	mbedtls_ssl_config_init(&config);
	mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
	mbedtls_ssl_conf_ca_chain(&config, &roots, NULL);
	mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
	mbedtls_ssl_context ssl;
	mbedtls_ssl_init(&ssl);
	mbedtls_ssl_setup(&ssl, &config);
	mbedtls_ssl_set_hostname(&ssl, "git.test");
	mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, NULL);
	error = mbedtls_ssl_handshake(&ssl);
	if (error) return failed("handshake with git.test", error);
	static const unsigned char request[] = "GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n";
	mbedtls_ssl_write(&ssl, request, sizeof request - 1);
	unsigned char buffer[4096];
	for (int n; (n = mbedtls_ssl_read(&ssl, buffer, sizeof buffer)) > 0;) fwrite(buffer, 1, n, stdout);
	return 0;
}
