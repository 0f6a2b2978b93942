# A Squid that only HTTPS_PROXY and SSL_CERT_FILE name becomes the upstream by itself
# needs: curl squid openssl
start_origin
start_squid
# In a network of its own, ports but 443 are carried when they are named.
configure <<<"policy.allow = [\"git.test:${ORIGIN##*:}\"]"
export HTTPS_PROXY=http://$SQUID SSL_CERT_FILE=$SQUID_CA
url=https://git.test:${ORIGIN##*:}/echo
prints "GET git.test:${ORIGIN##*:}" behind curl -fsS "$url"
says "$SQUID_LOG" "CONNECT git.test:${ORIGIN##*:} "

same "$HTTPS_PROXY" "$(status | field upstream)" upstream
front=http://127.0.0.1:$(status | field port)
for variable in HTTPS_PROXY https_proxy; do
	same "$(captured '' "$front")" "$(agentproxy exec -- printenv $variable || true)" $variable
done
