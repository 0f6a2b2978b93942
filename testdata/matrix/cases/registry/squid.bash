# Squid with ssl-bump and a password is the upstream: curl, npm and git work through it
# needs: curl npm git squid openssl
start_origin
password=$(openssl rand -hex 12)
start_squid "$password"
configure <<END
[egress]
upstream = "http://matrix:$password@$SQUID"
extra_roots = ["$SQUID_CA"]
[policy]
allow = ["git.test:${ORIGIN##*:}"] # as a port that is named, in a network of its own, too
END
registry=$(npm_registry)
behind curl -fsSv -o document.json "${registry}is-number" 2>trace
same is-number "$(field name <document.json)"
says trace "issuer: CN=matrix squid CA"
says "$SQUID_LOG" "CONNECT $(host "$registry"):443 matrix "
prints 7.0.0 behind npm view is-number@7.0.0 version

git init -q project
git -C project -c user.name=matrix -c user.email=matrix@git.test commit -q --allow-empty -m first
git clone -q --bare project "$ORIGIN_REPOSITORIES/project.git"
behind git clone -q "https://git.test:${ORIGIN##*:}/git/project.git" clone
same "$(git -C project rev-parse HEAD)" "$(git -C clone rev-parse HEAD)"
says "$SQUID_LOG" "CONNECT git.test:${ORIGIN##*:} matrix "
