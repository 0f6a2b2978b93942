# aria2, Lynx, w3m and HTTPie fetch a document of the npm registry, openssl s_client verifies its host
# needs: aria2c lynx w3m http openssl npm
document=$(npm_registry)is-number/7.0.0
fetches() {
	"$@" >document.json
	same 7.0.0 "$(field version <document.json)" "$2"
}
behind aria2c --quiet --out=aria2.json "$document"
same 7.0.0 "$(field version <aria2.json)" aria2c
fetches behind lynx -source "$document"
fetches behind w3m -dump_source "$document"
fetches behind http --body --ignore-stdin GET "$document"

behind openssl s_client -brief -verify_return_error -connect "$(host "$document"):443" </dev/null 2>err
says err "Verification: OK"
