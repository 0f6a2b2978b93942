# Docker's buildx and its builders, a daemon that pulls through the tunnel as the advice says, Docker without root, and podman pull
# needs: dockerd podman skopeo engines rootlesskit slirp4netns newuidmap docker-registry curl setpriv openssl
# alone: it runs engines, whose control groups and networks are the machine's
((EUID == 0)) || fail "the daemon wants root"

# carry PROGRAM...: copy programs into root/usr/bin, with the libraries that they want.
carry() {
	local program file
	mkdir -p root/usr/bin
	for program; do
		cp -L "$program" root/usr/bin
		for file in $(ldd "$program" | grep -o '/[^ )]*'); do
			mkdir -p "root${file%/*}"
			cp -L "$file" "root$file"
		done
	done
}

# image DIRECTORY: what was carried becomes the context of a build.
image() {
	mkdir "$1"
	tar -C root -cf "$1/root.tar" .
	rm -r root
}

carry "$(command -v bash)" "$(command -v curl)"
mkdir -p root/bin root/etc/ssl/certs
ln -s ../usr/bin/bash root/bin/sh
cp -L /etc/ssl/certs/ca-certificates.crt root/etc/ssl/certs
image app
cat >app/Dockerfile <<'DOCKERFILE'
FROM scratch AS base
ADD root.tar /
RUN curl -sS https://build.canary.agentproxy.test/ >/fetched

FROM base
RUN curl -sS https://build.canary.agentproxy.test/ && echo "$(</fetched)"
CMD ["curl", "-sS", "https://run.canary.agentproxy.test/"]
DOCKERFILE

# The plugin that "docker build" is from Docker 23 on.
export DOCKER_CONFIG=$PWD/config
mkdir -p config/cli-plugins
ln -s "$ENGINES/buildx" config/cli-plugins/docker-buildx
start_registry

# builds COMMAND...: does a build fetch in both its stages?
builds() {
	agentproxy exec -- "$@" --no-cache -t registry.test/probe app >out 2>err || fail "$(tail -n 25 out err)"
	(($(grep -c 'the canary sings' err) == 2)) || fail "it fetched nothing: $(<err)"
}

# blames CLASS COMMAND...: does it fail, and is that the class?
blames() {
	if agentproxy exec --verdict-file verdict -- "${@:2}" >out 2>err; then fail "it works: ${*:2}"; fi
	same "$1" "$(field class <verdict)" "verdict on ${*:2}: $(<err)"
}

# --- Debian's daemon, and buildx --------------------------------------------

start_docker
builds docker build
builds docker buildx build
builds docker buildx build --builder default
works docker-buildx "$(engine_version github.com/docker/buildx)"

# A pull is the daemon's. Its advice is followed step by step.
blames proxy_bypassed docker pull registry.test/probe
says err 'HTTPS_PROXY.*SSL_CERT_FILE="[$]AGENT_PROXY_CA_BUNDLE_PATH"'
echo 'FROM registry.test/none' >none
blames proxy_bypassed docker build -f none app
says err 'HTTPS_PROXY'
url=$(agentproxy up)
# shellcheck disable=SC2016 # for the shell behind the tunnel
bundle=$(agentproxy exec -- sh -c 'echo "$AGENT_PROXY_CA_BUNDLE_PATH"')
stop dockerd || true
HTTPS_PROXY=$url start_docker
blames tls_trust docker pull registry.test/probe
says err 'SSL_CERT_FILE="[$]AGENT_PROXY_CA_BUNDLE_PATH".*/etc/docker/certs.d/HOST/ca.crt'
stop dockerd || true
HTTPS_PROXY=$url SSL_CERT_FILE=$bundle start_docker
docker push registry.test/probe >push.log 2>&1 || fail "$(<push.log)"
docker rmi registry.test/probe >/dev/null
behind docker pull registry.test/probe >out
says out '^Status: Downloaded'
version=$(docker version --format '{{.Server.Version}}')
works docker-pull "${version%%+*}"
stop dockerd || true

# --- a new daemon -----------------------------------------------------------

moby=$(engine_version github.com/moby/moby/v2)
debian=$PATH
PATH=$ENGINES:$PATH
# The other way of the advice.
mkdir -p docker.etc/certs.d/registry.test
cp "$bundle" docker.etc/certs.d/registry.test/ca.crt
echo "{\"proxies\": {\"https-proxy\": \"$url\"}}" >docker.etc/daemon.json
start_docker --data-root="$PWD/moby"
behind docker pull registry.test/probe >out
says out '^Status: Downloaded'
works docker-pull "$moby"
builds docker build
works docker-build "$moby"
prints "the canary sings" agentproxy exec -- docker run --rm registry.test/probe
works docker-run "$moby"
# What a build is made from is pulled by the daemon, too.
printf 'FROM registry.test/probe\nRUN curl -sS https://build.canary.agentproxy.test/\n' >from
docker image rm registry.test/probe >/dev/null
behind docker build -f from app >out 2>err || fail "$(<err)"
says err 'the canary sings'

# Builders of buildx: a container that has this machine's network, and one that does not.
carry "$ENGINES/buildkitd" "$ENGINES/buildctl" "$ENGINES/runc"
mkdir root/tmp
image buildkit
printf 'FROM scratch\nADD root.tar /\nENTRYPOINT ["buildkitd"]\n' >buildkit/Dockerfile
docker build -q -t buildkit.test/own buildkit >/dev/null
docker buildx create --name boxed --driver docker-container --driver-opt image=buildkit.test/own >/dev/null
blames proxy_bypassed docker buildx build --builder boxed app
says err 'builder "boxed" is a container with a network of its own.*--builder=default.*--driver-opt=network=host'
docker buildx rm boxed 2>/dev/null
printf '[registry."registry.test"]\nca = ["%s"]\n' "$bundle" >buildkitd.toml
docker buildx create --name hosted --use --driver docker-container --driver-opt image=buildkit.test/own --driver-opt network=host \
	--driver-opt env.HTTPS_PROXY="$url" --buildkitd-config buildkitd.toml >/dev/null
builds docker buildx build --load
behind docker buildx build -f from app >out 2>err || fail "$(<err)"
docker buildx rm hosted 2>/dev/null
works buildx-container "$(engine_version github.com/docker/buildx)"

# One that runs on this machine, and was not told to let steps ask for its network.
start buildkitd "$here/apart" --processes buildkitd --addr="unix://$PWD/buildkit.sock" --root="$PWD/buildkitd"
await test -S buildkit.sock
docker buildx create --name far --driver remote "unix://$PWD/buildkit.sock" >/dev/null
BUILDX_BUILDER=far builds docker build
works buildkitd "$(engine_version github.com/moby/buildkit)"
stop buildkitd || true
stop dockerd || true

# --- without root -----------------------------------------------------------

mkdir user
cp app/root.tar user
cp -r app user/app
cat >user/try <<'TRY'
docker import root.tar probe
mkdir -p .docker/cli-plugins
ln -sf "$ENGINES/buildx" .docker/cli-plugins/docker-buildx
agentproxy exec --verdict-file verdict -- docker run --rm probe curl -sS https://run.canary.agentproxy.test/
agentproxy container-args docker run
agentproxy exec -- docker build app
TRY
# without_root DOCKERD-ROOTLESS.SH: try it, with the user's own tunnel.
without_root() {
	cp "$1" user/dockerd-rootless.sh
	chmod 755 user/dockerd-rootless.sh
	env -u DOCKER_CONFIG -u DOCKER_HOST HOME="$PWD/user" \
		"$here/apart" --processes "$here/rootless" "$PWD/user/dockerd-rootless.sh" bash try >out 2>err || true
}
PATH=$debian
without_root /usr/share/docker.io/contrib/dockerd-rootless.sh
same proxy_bypassed "$(field class <user/verdict)" "verdict: $(tail -n 30 out err user/rootless.log)"
says err '^agentproxy: docker: its engine has a network of its own'
# What RootlessKit detaches from the daemon is not the network that containers get who ask for the machine's.
PATH=$ENGINES:$PATH
without_root "$(cd "$here/engines" && HOME=$machine go list -m -f '{{.Dir}}' github.com/moby/moby/v2)/contrib/dockerd-rootless.sh"
says out '^the canary sings'
says out '^--network=host'
says err ' the canary sings'
works docker-rootless "$moby"
PATH=$debian

# --- Podman -----------------------------------------------------------------

unset DOCKER_CONFIG # Podman reads it, too
own_podman
behind podman pull registry.test/probe >out 2>err || fail "$(<err)"
works podman-pull "$(podman --version | cut -d' ' -f3)"
diagnose docker 'docker-*' buildx-container buildkitd
diagnose podman podman-pull
