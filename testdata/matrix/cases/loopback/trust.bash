# Chromium without exec trusts the CA as long as its database is set up for it, and under exec as ever
# needs: chromium certutil
start_origin
mkdir -p "$HOME/.pki/nssdb"
certutil -d "sql:$HOME/.pki/nssdb" -N --empty-password
page=(chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
	--disable-component-update --disable-sync --dump-dom https://git.test/echo)
url=$(agentproxy up)
https_proxy=$url "${page[@]}" --user-data-dir="$PWD/before" >before.html
! grep -q "GET git.test" before.html || fail "it trusts the CA before"
sum=$(sha256sum "$HOME"/.pki/nssdb/*)
agentproxy trust install --store nss
https_proxy=$url "${page[@]}" --user-data-dir="$PWD/with" >with.html
says with.html "GET git.test"
behind "${page[@]}" --user-data-dir="$PWD/exec" >exec.html
says exec.html "GET git.test"
agentproxy trust remove --store nss
https_proxy=$url "${page[@]}" --user-data-dir="$PWD/after" >after.html
! grep -q "GET git.test" after.html || fail "it trusts the CA after the removal"
certutil -d "sql:$HOME/.pki/nssdb" -L | grep agentproxy && fail "the database still holds it"
same "$sum" "$(sha256sum "$HOME"/.pki/nssdb/*)" "the database"
