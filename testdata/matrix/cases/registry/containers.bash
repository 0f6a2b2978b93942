# Images made from debootstrap are built and run by Docker and Podman, and fetch through the tunnel with curl, npm, pip and apt
# needs: dockerd podman skopeo buildah debootstrap apt-get npm node python3 pip
# alone: it runs engines, whose control groups and networks are the machine's
((EUID == 0)) || fail "debootstrap and the daemon want root"
PATH=/usr/bin:$PATH # the client that came with the daemon
# shellcheck disable=SC2016 # apt's own placeholder
site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep debian | grep -v security | head -n 1)
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
debootstrap --variant=minbase --include=curl,ca-certificates,python3-pip "$release" root "$site" >debootstrap.log
# Node and npm are this machine's.
mkdir root/opt/npm
cp "$(node -p process.execPath)" root/usr/local/bin/node
cp -r "$(npm root -g)/npm/." root/opt/npm/
echo "deb https://${site#*://} $release main" >root/etc/apt/sources.list
tar -C root -cf root.tar .
roots=$(sha256sum <root/etc/ssl/certs/ca-certificates.crt)
rm -r root

# The last step is another stage's, and makes the file anew in which the image has its roots.
mkdir app
mv root.tar app
cat >app/Dockerfile <<'END'
FROM scratch AS base
ADD root.tar /
ARG npm_config_registry PIP_INDEX_URL
RUN curl -sS https://build.canary.agentproxy.test/ | tee /fetched
RUN node /opt/npm/bin/npm-cli.js install --prefix /node --no-audit --no-fund is-number@7.0.0 && \
  # as users write it
  python3 -m pip install --no-cache-dir --quiet --target /python six==1.17.0

FROM base
RUN apt-get update -qq && apt-get install -qq --reinstall ca-certificates >/dev/null
CMD ["curl", "-sS", "https://run.canary.agentproxy.test/"]
ENV JAVA_TOOL_OPTIONS=-Dimage=own
END
index=$(python3 -m pip config get global.index-url 2>/dev/null || echo "${PIP_INDEX_URL:-}")
arguments=(--build-arg=npm_config_registry="$(npm_registry)" --build-arg=PIP_INDEX_URL="$index")

# builds COMMAND...: does a build fetch?
builds() {
	agentproxy exec -- "$@" build "${arguments[@]}" -t probe app >out 2>err || fail "$(tail -n 25 out err)"
	says err '^agentproxy: added: --network=host'
}

# kept COMMAND...: what is left in the image, seen without us?
kept() {
	local found
	found=$("$@" run --rm --network=host probe sh -c 'cat /fetched; sha256sum </etc/ssl/certs/ca-certificates.crt; ls -d /node/node_modules/* /python/six.py /run/*; env')
	[[ $found == *"the canary sings"*"$roots"*is-number*/python/six.py* ]] || fail "in the image: $found"
	[[ $found != *agentproxy* ]] || fail "left in the image: $found"
	"$@" history --no-trunc probe >layers
	if grep 127.0.0.1 layers; then fail "the tunnel's port is in the history"; fi
}

# runs COMMAND...: does the image fetch when it runs, and keep what it sets itself?
runs() {
	prints "the canary sings" agentproxy exec -- "$@" run --rm probe
	prints "the canary sings" agentproxy exec -- "$@" run --rm probe python3 -c \
		'import urllib.request; print(urllib.request.urlopen("https://run.canary.agentproxy.test/").read().decode().strip())'
	# shellcheck disable=SC2016 # for the shell in the container
	prints "-Dimage=own -Djavax.net.ssl.trustStore=/run/agentproxy/java-truststore.p12" \
		agentproxy exec -- "$@" run --rm probe sh -c 'echo "${JAVA_TOOL_OPTIONS% -Djavax.net.ssl.trustStoreP*}"'
}

# as_others COMMAND...: do a step and a container fetch that are another user's?
as_others() {
	printf 'FROM probe\nUSER 65534\nRUN curl -sS https://other.canary.agentproxy.test/\n' >other
	agentproxy exec -- "$@" build -f other app >out 2>err || fail "$(tail -n 25 out err)"
	grep -q "the canary sings" out err || fail "$(tail -n 25 out err)"
	prints "the canary sings" agentproxy exec -- "$@" run --rm --user 65534 probe
}

# blames CLASS COMMAND...: does it fail, and is that the class?
blames() {
	# A network of its own would cure what is to fail here.
	if agentproxy exec --capture never --verdict-file verdict -- "${@:2}" >out 2>err; then fail "it works: ${*:2}"; fi
	same "$1" "$(field class <verdict)" "verdict on ${*:2}: $(<err)"
}

# --- Docker -----------------------------------------------------------------

start_docker
builds docker
kept docker
runs docker
as_others docker
version=$(docker version --format '{{.Server.Version}}')
works docker-build "${version%%+*}"
works docker-run "${version%%+*}"

# A tunnel with another port costs no layer.
agentproxy down >/dev/null
builds docker
(($(grep -c CACHED err) == 4)) || fail "the layers are made anew: $(<err)"

# What fails inside is told apart.
configure <<-END
	[policy]
	deny = ["denied.test"]
END
printf 'FROM probe\nRUN curl -sS https://denied.test/\n' >denied
blames policy_denied docker build -f denied app
same True "$(field container <verdict)" "that it happened in a container"
blames policy_denied docker run --rm probe curl -sS https://denied.test/
printf 'FROM probe\nENV CURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt\nRUN curl -sS https://x.canary.agentproxy.test/\n' >distrusts
blames tls_trust docker build -f distrusts app
blames proxy_bypassed docker run --rm -e https_proxy= -e HTTPS_PROXY= probe curl -sS https://x.canary.agentproxy.test/

# A pull is the daemon's, and is said to be.
blames proxy_bypassed docker pull x.canary.agentproxy.test/none
says err 'daemon'

# --- Podman -----------------------------------------------------------------

own_podman
configure </dev/null
builds podman
kept podman
runs podman
as_others podman
blames proxy_bypassed podman run --rm -e https_proxy= -e HTTPS_PROXY= probe curl -sS https://x.canary.agentproxy.test/
works podman-build "$(podman --version | cut -d' ' -f3)"
works podman-run "$(podman --version | cut -d' ' -f3)"

printf 'FROM probe\nRUN curl -sS https://buildah.canary.agentproxy.test/\n' >simple
agentproxy exec -- buildah bud -f simple app >out 2>err || fail "$(tail -n 25 out err)"
says out '^the canary sings$'
works buildah "$(buildah --version | cut -d' ' -f3)"
diagnose docker 'docker-*'
diagnose podman 'podman-*'
diagnose buildah buildah
