# Chromium, whose own verifier and HTTP/2 are the strictest of the browsers', shows a page
# needs: chromium certutil
start_origin
behind chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
	--disable-component-update --disable-sync --user-data-dir="$PWD/profile" --dump-dom https://git.test/echo >page
says page "GET git.test"
[[ ! -e $HOME/.pki ]] || fail "the home has got a database"
works chromium "$(chromium --version 2>/dev/null | grep -oE "[0-9.]+" | head -n 1)"
diagnose chromium chromium
