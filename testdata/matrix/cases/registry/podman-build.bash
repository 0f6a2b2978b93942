# A step of podman's build, in Debian's own files, fetches through the tunnel; the image keeps its own roots
# needs: podman debootstrap apt-get
((EUID == 0)) || fail "debootstrap wants root"
# shellcheck disable=SC2016 # apt's own placeholder
site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep debian | grep -v security | head -n 1)
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
debootstrap --variant=minbase --include=curl,ca-certificates "$release" root "$site" >debootstrap.log
tar -C root -cf root.tar .
before=$(sha256sum <root/etc/ssl/certs/ca-certificates.crt)
rm -r root
cat >Dockerfile <<'END'
FROM scratch
ADD root.tar /
RUN curl -sS https://build.canary.agentproxy.test/ && curl -sS https://build.canary.agentproxy.test/ >/fetched
END
export STORAGE_DRIVER=vfs
podman=(podman --root="$PWD/storage" --runroot="$PWD/run")
trap '"${podman[@]}" rmi --all --force >/dev/null 2>&1; clean_up' EXIT
# Without namespaces, which a machine that is a container itself may not grant.
agentproxy exec -- "${podman[@]}" build --isolation=chroot -t probe . >out 2>err || fail "$(tail -n 5 out err)"
says err '^agentproxy: added: --network=host'
says out '^the canary sings$'
image=$("${podman[@]}" image mount probe)
same "the canary sings" "$(<"$image/fetched")"
same "$before" "$(sha256sum <"$image/etc/ssl/certs/ca-certificates.crt")" "the image's roots"
if grep -r "agentproxy" "$image/etc/ssl" >/dev/null; then fail "the CA is in the image"; fi
"${podman[@]}" image umount probe >/dev/null
works podman-build "$(podman --version | cut -d' ' -f3)"
