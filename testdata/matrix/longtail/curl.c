// libcurl with a proxy of "", and with the file that is named as its roots, if one is.
#include <curl/curl.h>
#include <stdio.h>

int main(int argc, char **argv) {
	CURL *curl = curl_easy_init();
	curl_easy_setopt(curl, CURLOPT_URL, "https://git.test/echo");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (argc > 1) curl_easy_setopt(curl, CURLOPT_CAINFO, argv[1]);
	CURLcode code = curl_easy_perform(curl);
	if (code) fprintf(stderr, "curl: (%d) %s\n", code, curl_easy_strerror(code));
	return code != 0;
}
