# Real clients behind an upstream that re-terminates TLS, with each defect of such: the verdict, and its advice to the letter
# needs: curl wget git python3 node ruby

cat >fetch.py <<'END'
import urllib.request
print(urllib.request.urlopen("https://git.test/").read().decode())
END
cat >fetch.rb <<'END'
require "net/http"
puts Net::HTTP.get(URI("https://git.test/"))
END
cat >fetch.mjs <<'END'
console.log(await (await fetch("https://git.test/")).text())
END

# The clients, as they fetch.
declare -A fetch=(
	[curl]='curl -sS https://git.test/' [wget]='wget -nv -O - https://git.test/' [git]='git ls-remote https://git.test/x.git'
	[python3]='python3 fetch.py' [ruby]='ruby fetch.rb' [node]='node fetch.mjs'
)

# behind_one DEFECT: start one, and lead through it.
behind_one() {
	export HTTPS_PROXY=
	agentproxy down >/dev/null
	rm -rf "$HOME/.config/agentproxy/roots"
	start "$1" middle "$1" middle.pem
	await test -s "$1.log"
	HTTPS_PROXY=$(<"$1.log")
}

right=0 wrong=0

# judged CLIENT DEFECT CLASS: is that what exec says, with an advice that names nothing that is in effect?
judged() {
	local said advice
	# shellcheck disable=SC2086 # words are arguments
	if agentproxy exec --verdict-file verdict.json -- ${fetch[$1]} >out 2>err </dev/null; then fail "$1 works behind $2"; fi
	said=$(field class <verdict.json) advice=$(field advice <verdict.json)
	if [[ $said == "$3" && ! $advice =~ agentproxy\ exec\ --|SSL_CERT_FILE|CA_BUNDLE|NODE_EXTRA|CAINFO ]]; then
		right=$((right + 1))
		return
	fi
	wrong=$((wrong + 1))
	echo "$1 behind $2: $said, not $3; $advice"
	cat verdict.json err
}

for defect in unknown root-kept no-intermediate; do
	behind_one "$defect"
	for client in "${!fetch[@]}"; do judged "$client" "$defect" tls_trust; done
	if [[ $defect == unknown ]]; then
		# Whoever looks later is told who signs, too.
		sum=$(agentproxy why git.test | sed -n 's/^  sha256 //p')
		agentproxy doctor curl >doctor.txt || true
		says doctor.txt "$sum"
		agentproxy report >report.md
		says report.md "git.test:443.*authority"
		says report.md "$sum"
		agentproxy ca adopt git.test --sha256 "$(agentproxy why git.test | sed -n 's/^  sha256 //p')"
	elif [[ $defect == root-kept ]]; then
		agentproxy ca adopt middle.pem
	else
		continue
	fi
	for client in curl wget python3 ruby node; do
		# shellcheck disable=SC2086
		agentproxy exec -- ${fetch[$client]} >out 2>err || fail "$client does not work behind $defect once its CA is adopted: $(<err)"
		says out 'hello from git.test'
	done
done
for defect in expired not-yet-valid wrong-name cut plain-text; do
	behind_one "$defect"
	agentproxy ca adopt middle.pem >/dev/null
	for client in "${!fetch[@]}"; do judged "$client" "$defect" tls_other; done
done
export HTTPS_PROXY=
echo "$right right, $wrong wrong"
((wrong * 50 <= right)) || fail "more than two in a hundred are wrong"
