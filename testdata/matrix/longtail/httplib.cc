// cpp-httplib, which reads no environment.
#define CPPHTTPLIB_OPENSSL_SUPPORT
#include <httplib.h>
#include <iostream>

int main() {
	httplib::SSLClient client("git.test");
	client.enable_server_certificate_verification(true);
	auto answer = client.Get("/echo");
	if (!answer) {
		std::cerr << "https://git.test/echo: " << (client.get_openssl_verify_result() ? "certificate verify failed" : "could not resolve host") << "\n";
		return 1;
	}
	std::cout << answer->body;
}
