# Chromium, whose own verifier and HTTP/2 are the strictest of the browsers', shows a page
# needs: chromium certutil
start_origin
agentproxy up >/dev/null
mkdir -p "$HOME/.pki/nssdb"
certutil -d "sql:$HOME/.pki/nssdb" -N --empty-password
certutil -d "sql:$HOME/.pki/nssdb" -A -t C,, -n agentproxy -i "$AGENT_PROXY_STATE_DIR/agent-proxy-ca.crt"
behind chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
	--disable-component-update --disable-sync --user-data-dir="$PWD/profile" --dump-dom https://git.test/echo >page
says page "GET git.test"
