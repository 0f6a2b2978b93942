# Clients that read no proxy variable or no setting of roots, with their environment cleared and with it, captured and not
# "LONGTAIL=all testdata/matrix/run longtail" runs all of them as everybody, which takes twice as long.
# needs: curl wget wget2 lftp aria2c lynx elinks links w3m axel ncat openssl socat gnutls-cli nghttp git svn hg busybox gcc g++ go cargo nim
# needs: python3 pip ruby php perl java javac node npm escript lua5.4 tclsh guile swipl Rscript sudo su runuser setpriv start-stop-daemon make
# needs: deb:libssl-dev deb:libgnutls28-dev deb:libmbedtls-dev deb:libwolfssl-dev deb:libcurl4-openssl-dev deb:libcpp-httplib-dev
# needs: deb:monitoring-plugins-basic deb:python3-venv deb:python3-gi deb:gir1.2-soup-3.0 deb:glib-networking deb:python3-pyqt5 deb:ruby-excon deb:ruby-http
# needs: deb:ruby-httpclient deb:php-curl deb:libio-socket-ssl-perl deb:liblwp-protocol-https-perl deb:libmojolicious-perl deb:libanyevent-http-perl
# needs: deb:erlang-inets deb:erlang-ssl deb:lua-sec deb:lua-socket deb:tcl-tls deb:guile-gnutls
start_origin
clients=$PWD/clients commands=$PWD/commands results=$PWD/results longtail=$here/longtail cache=${XDG_CACHE_HOME:-$machine/.cache}/agentproxy-matrix
mkdir "$clients" "$commands" "$results"
chmod 755 "$clients" "$commands"
bundle=/etc/ssl/certs/ca-certificates.crt url=https://git.test/echo
git init -q -b trunk project
git -C project -c user.name=matrix -c user.email=matrix@git.test commit -q --allow-empty -m one
git clone -q --bare project "$ORIGIN_REPOSITORIES/project.git"

# --- the clients that are built here, with the machine's caches --------------

c() {
	gcc -o clients/openssl "$longtail/openssl.c" -lssl -lcrypto
	gcc -static -o clients/openssl-static "$longtail/openssl.c" -lssl -lcrypto 2>&1
	gcc -o clients/gnutls "$longtail/gnutls.c" -lgnutls
	gcc -o clients/mbedtls "$longtail/mbedtls.c" -lmbedtls -lmbedx509 -lmbedcrypto
	gcc -o clients/wolfssl "$longtail/wolfssl.c" -lwolfssl
	gcc -o clients/curl "$longtail/curl.c" -lcurl
	g++ -o clients/httplib "$longtail/httplib.cc" -lcpp-httplib -lssl -lcrypto -pthread
	nim compile --hints:off -d:ssl --nimcache:"$cache/longtail-nim" -o:clients/client-nim "$longtail/client.nim"
	javac -d clients "$longtail/Client.java"
}
rust() {
	CARGO_TARGET_DIR=$cache/longtail HOME=$machine cargo build --quiet --manifest-path rust/Cargo.toml
	cp "$cache/longtail/debug/client" clients/client-rs
}
go_client() {
	export HOME=$machine GOFLAGS=-mod=mod CGO_ENABLED=0
	go -C go mod tidy
	go -C go build -o "$clients/client-go" .
}
interpreted() {
	export HOME=$machine
	/usr/bin/python3 -m venv clients/venv
	/usr/bin/python3 -m venv --without-pip clients/niquests # which replaces urllib3
	clients/venv/bin/pip install --quiet --no-compile requests httpx aiohttp urllib3 tornado twisted service-identity httplib2 pycurl pyopenssl
	clients/venv/bin/pip --python clients/niquests/bin/python install --quiet --no-compile niquests
	npm install --silent --no-audit --no-fund --prefix clients undici@6
}
for language in go rust; do
	mkdir $language
	cp "$longtail"/{go.mod,Cargo.toml,client.go,client.rs} $language/
done
cp "$longtail"/client.* clients/
for step in c rust go_client interpreted; do start $step $step; done
for step in c rust go_client interpreted; do finish $step || fail "$step: $(<$step.log)"; done

# --- the rows ---------------------------------------------------------------

# Each is a file, so that what is remembered of one is not used for another.
names=() for_root=
while read -r name command; do
	[[ $name && $name != '#'* ]] || continue
	names+=("$name")
	if [[ $command == 'root: '* ]]; then for_root+=$name$'\n'; fi
	cat >"commands/$name" <<-END
		#!/bin/sh
		clients=$clients url=$url bundle=$bundle work=\$(mktemp -d)
		trap 'rm -rf "\$work"' EXIT
		${command#root: }
	END
	chmod 755 "commands/$name"
done <"$longtail/rows"
((${#names[@]} >= 60)) || fail "only ${#names[@]} rows"

# try WHO CAPTURE ENVIRONMENT NAME: into a file of results, that it works, or what the verdict is.
try() {
	local out=$results/$1.$2.$3.$4 command=("$commands/$4") as=() advice who=as_$1 how=(--capture "$2")
	if [[ $2 == isolate ]]; then how=(--isolate); fi
	read -ra as <<<"${!who-}"
	if [[ $3 == cleared ]]; then command=(env -i "PATH=$PATH" "HOME=$HOME" "${command[@]}"); fi
	cd "$clients" || return
	timeout 60 "${as[@]}" agentproxy exec "${how[@]}" --verdict-file "$out.verdict" -- "${command[@]}" >"$out.out" 2>"$out.err" </dev/null || true
	if grep -qa 'GET git\.test' "$out.out"; then
		echo works
		return
	fi
	if [[ ! -s $out.verdict || $(field class <"$out.verdict") == none ]]; then
		echo "silent: $(tail -n 3 "$out.err" | tr '\n' ' ')"
		return
	fi
	advice=$(field advice <"$out.verdict")
	if circular "$advice"; then echo -n "circular: "; else echo -n "honest: "; fi
	echo "$(field class <"$out.verdict"): $advice: $(tail -n 3 "$out.err" | tr '\n' ' ')"
}

# circular ADVICE: is it what is in effect?
circular() {
	local name
	[[ $1 != *'agentproxy exec -- '* ]] || return 0
	for name in $(grep -oE '\b[A-Za-z_]{4,}=' <<<"$1" || true); do
		[[ $'\n'$given != *$'\n'$name* ]] || return 0
	done
	return 1
}

# all_rows WHO CAPTURE NAME...: each with its environment cleared and with the one that exec gives; most wait most of the time.
# shellcheck disable=SC2016 # the inner shell's
all_rows() {
	local name environment
	for name in "${@:3}"; do
		for environment in cleared given; do echo "$1 $2 $environment $name"; done
	done | xargs -P "$((2 * $(nproc)))" -L 1 bash -c 'try "$@" >"$results/$(printf "%s." "$@")result"' try
}

# count RESULTS PATTERN
count() { cat "$results/$1".*.result | grep -cE "^($2)" || true; }

# bound WHO CAPTURE PATTERN PERCENT: so many must match. What does not work is shown.
too_few=()
bound() {
	local of=$1.$2 all good
	all=$(count "$of" '') good=$(count "$of" "$3")
	echo "$1, $2: $(count "$of" works) of $all work, and $(count "$of" honest) have an honest verdict"
	(cd "$results" && grep -v '^works' "$of".*.result | cut -c1-400) || true
	((good * 100 >= all * $4)) || too_few+=("$1, $2: $good of $all")
}

given=$(agentproxy exec --capture never -- env | cut -d= -f1 | sed 's/$/=/')
export clients commands results given
export -f try circular field
if ((EUID != 0)); then
	mapfile -t names < <(printf '%s\n' "${names[@]}" | grep -vxFf <(printf %s "$for_root"))
fi
for capture in always auto; do all_rows own $capture "${names[@]}"; done
bound own always works 95
bound own auto 'works|honest' 100

some=(c-openssl-static c-gnutls curl-noproxy git-gnutls go-tls go-resolver rust-native-certs py-aiohttp ruby-openssl php-stream perl-socket
	java-socket node-roots erlang-ssl lua-https tcl-http by-env-i by-xargs by-six-variables socat wget2-noproxy aria2c py-qt perl-anyevent guile)
if [[ ${LONGTAIL-} == all ]]; then
	mapfile -t some < <(printf '%s\n' "${names[@]}" | grep -vxFf <(printf %s "$for_root"))
fi

# settled WHO: the same clients as somebody for whom the system makes networks in another way, or makes none.
settled() {
	for capture in always auto isolate; do all_rows "$1" $capture "${some[@]}"; done
	bound "$1" always works 95
	bound "$1" auto 'works|honest' 100
	bound "$1" isolate works 95
}

# Under the filter of a container there is a supervisor.
export as_contained=contained
settled contained

# An ordinary user's network is in a user namespace, and where there are none there is a supervisor.
if ((EUID == 0)); then
	mkdir -p other/.config
	cp -r "$HOME/.config/agentproxy" other/.config/
	chown -R 65534:65534 other
	chmod 777 results
	as_other="setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=$PWD/other AGENT_PROXY_STATE_DIR=$PWD/other/state"
	export as_other
	settled other
	$as_other agentproxy down >/dev/null
	cat >without-namespaces <<-'END'
		#!/bin/sh
		# Linux counts user namespaces where it makes them; root without rights is an ordinary user.
		exec unshare --user --map-root-user sh -c '
			echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all -- "$@"' sh "$@"
	END
	chmod 755 without-namespaces
	export as_without="${as_other/ env / $PWD/without-namespaces env }"
	settled without
	$as_without agentproxy down >/dev/null
fi
((${#too_few[@]} == 0)) || fail "$(printf '%s; ' "${too_few[@]}")"
