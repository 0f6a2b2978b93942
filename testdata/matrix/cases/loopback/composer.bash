# Composer installs a package, and PHP's curl fetches, past roots of the user's that know nothing of the tunnel
# needs: composer php
start_origin
mkdir -p package "$HOME/.config/composer"
echo '{"name": "matrix/greeting", "version": "1.0.0"}' >package/composer.json
(cd package && python3 -m zipfile -c "$ORIGIN_FILES/greeting.zip" composer.json)
cat >"$ORIGIN_FILES/packages.json" <<'END'
{"packages": {"matrix/greeting": {"1.0.0": {"name": "matrix/greeting", "version": "1.0.0",
	"dist": {"type": "zip", "url": "https://git.test/files/greeting.zip"}}}}}
END
cat >composer.json <<'END'
{"repositories": [{"type": "composer", "url": "https://git.test/files"}, {"packagist": false}], "require": {"matrix/greeting": "1.0.0"}}
END
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=own" -keyout own.key -out own.pem 2>/dev/null
echo "{\"config\": {\"cafile\": \"$PWD/own.pem\"}}" >"$HOME/.config/composer/config.json"
export COMPOSER_ALLOW_SUPERUSER=1
behind composer install --no-interaction --quiet
[[ -s vendor/matrix/greeting/composer.json ]] || fail "the package is not there"

works composer "$(composer --version 2>/dev/null | grep -oE '[0-9]+\.[0-9.]+' | head -n 1)"

# shellcheck disable=SC2016 # the dollars are PHP's
client php-curl "$(php -r 'echo PHP_VERSION;')" php -r '$c = curl_init("https://git.test/echo"); curl_setopt($c, CURLOPT_RETURNTRANSFER, true); echo curl_exec($c) ?: curl_error($c);'
# A hook reaches streams in a file; "php -r" runs none.
# shellcheck disable=SC2016 # the dollar is PHP's
echo '<?php echo file_get_contents($argv[1]);' >streams.php
client php-streams "$(php -r 'echo PHP_VERSION;')" php streams.php https://git.test/echo
diagnose composer composer
diagnose php 'php-*'
