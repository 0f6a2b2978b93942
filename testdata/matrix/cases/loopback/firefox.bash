# Firefox, which trusts only its profile, draws a page
# needs: firefox-esr certutil
start_origin
# With a certificate that it does not trust it draws nothing and waits for ever.
behind timeout 60 firefox-esr --headless --screenshot "$PWD/page.png" https://git.test/echo
[[ $(file -b page.png) == "PNG image"* ]] || fail "no picture"
leftover=$(find "$AGENT_PROXY_STATE_DIR/nss" -name 'firefox-*')
[[ ! $leftover ]] || fail "the profile of the run is still there: $leftover"
works firefox-esr "$(firefox-esr --version | grep -oE "[0-9.]+" | head -n 1)"
diagnose firefox-esr firefox-esr
