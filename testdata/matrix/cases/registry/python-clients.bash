# Python from 2.7 to 3.13 and the libraries that programs use on it
# needs: python3 pip
start_origin
URL=https://git.test/echo
cat >get_urllib.py <<'END'
import sys
try:
    from urllib.request import urlopen
except ImportError:
    from urllib2 import urlopen
sys.stdout.write(urlopen(sys.argv[1]).read().decode())
END
cat >get_http_client.py <<'END'
import sys
from http.client import HTTPSConnection
connection = HTTPSConnection("git.test", timeout=20)
connection.request("GET", "/echo")
sys.stdout.write(connection.getresponse().read().decode())
END
cat >get_requests.py <<'END'
import sys, requests
sys.stdout.write(requests.get(sys.argv[1], timeout=20).text)
END
cat >get_httpx.py <<'END'
import sys, httpx
sys.stdout.write(httpx.get(sys.argv[1], timeout=20).text)
END
cat >get_urllib3.py <<'END'
import sys, urllib3
sys.stdout.write(urllib3.PoolManager().request("GET", sys.argv[1], timeout=20).data.decode())
END
cat >get_urllib3_proxy.py <<'END'
import os, sys, urllib3
sys.stdout.write(urllib3.ProxyManager(os.environ["HTTPS_PROXY"]).request("GET", sys.argv[1], timeout=20).data.decode())
END
cat >get_aiohttp.py <<'END'
import asyncio, sys, aiohttp
async def main(**options):
    async with aiohttp.ClientSession(**options) as session, session.get(sys.argv[1]) as response:
        sys.stdout.write(await response.text())
asyncio.run(main(**({"trust_env": True} if len(sys.argv) > 2 else {})))
END
cat >get_boto.py <<'END'
# The service answers with what it was asked, which is no answer for its client; that it was asked is enough.
import sys, boto3, botocore.exceptions, botocore.parsers
client = boto3.client("sts", region_name="us-east-1", endpoint_url=sys.argv[1], aws_access_key_id="a", aws_secret_access_key="b")
try:
    client.get_caller_identity()
except (botocore.parsers.ResponseParserError, botocore.exceptions.ClientError):
    pass
print("GET git.test")
END

# Every Python that pyenv has, and the machine's.
pythons=("$HOME"/.pyenv/versions/*/bin/python "$(command -v python3)")
declare -A seen=()
for python in "${pythons[@]}"; do
	version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
	[[ ! ${seen[$version]:-} ]] || continue
	seen[$version]=$python
	client py-urllib "$version" "$python" get_urllib.py $URL
	if [[ $version == 3.* ]]; then client py-http.client "$version" "$python" get_http_client.py; fi
	diagnose "$python" 'py-*'
	pip=$("$python" -m pip --version 2>/dev/null | cut -d' ' -f2) || continue
	if [[ $version == 2.* ]]; then six=six==1.16.0; else six=six; fi
	if behind "$python" -m pip download --quiet --no-cache-dir --no-deps --dest "wheels-$version" "$six" && compgen -G "wheels-$version/six-*" >/dev/null; then
		works pip "$pip on Python $version"
	else
		row pip "$pip on Python $version" no
		broken+=("pip $pip")
	fi
done

python=$(printf '%s\n' "${!seen[@]}" | sort -V | grep '^3' | tail -n 1)
new=${seen[$python]}
"$new" -m venv venv
behind venv/bin/pip install --quiet --no-cache-dir requests httpx aiohttp urllib3 boto3 awscli
installed() { venv/bin/pip show "$1" 2>/dev/null | sed -n 's/^Version: //p'; }
client py-requests "$(installed requests)" venv/bin/python get_requests.py $URL
client py-httpx "$(installed httpx)" venv/bin/python get_httpx.py $URL
client py-aiohttp-default "$(installed aiohttp)" venv/bin/python get_aiohttp.py $URL
client py-aiohttp-trust_env "$(installed aiohttp)" venv/bin/python get_aiohttp.py $URL trust_env
client py-urllib3-PoolManager "$(installed urllib3)" venv/bin/python get_urllib3.py $URL
# One that wants to be told of a proxy, which a command in a network of its own is not.
"$(captured true client)" py-urllib3-ProxyManager "$(installed urllib3)" venv/bin/python get_urllib3_proxy.py $URL
client boto3 "$(installed boto3)" venv/bin/python get_boto.py https://git.test/echo
# As boto3's: what it says about the answer shows that it came.
if ! AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b behind venv/bin/aws sts get-caller-identity --region us-east-1 --endpoint-url https://git.test/echo >aws.out 2>&1 &&
	grep -qi "unable to parse response" aws.out; then
	works awscli "$(installed awscli)"
else
	fail "aws: $(<aws.out)"
fi

# Tools that install packages.
behind venv/bin/pip install --quiet --no-cache-dir uv pipx poetry
# Those that read no configuration of pip's get its index by hand.
index=$("$new" -m pip config get global.index-url 2>/dev/null) ||
	index=$("$new" -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)')
venv/bin/uv venv --quiet --python "$new" uv-venv
VIRTUAL_ENV=$PWD/uv-venv UV_DEFAULT_INDEX=$index behind venv/bin/uv pip install --quiet --no-cache six
works uv "$(installed uv)"
PIPX_HOME=$PWD/pipx PIPX_BIN_DIR=$PWD/bin behind venv/bin/pipx install --quiet --python "$new" cowsay >pipx.log 2>&1 || fail "pipx: $(tail -n 5 pipx.log)"
works pipx "$(installed pipx)"
mkdir poetry
cat >poetry/pyproject.toml <<END
[tool.poetry]
name = "probe"
version = "0"
description = ""
authors = []
[tool.poetry.dependencies]
python = ">=3.8,<4"
six = "*"
[[tool.poetry.source]]
name = "machine"
url = "$index"
priority = "primary"
END
(cd poetry && behind ../venv/bin/poetry lock --no-interaction >lock.log 2>&1) || fail "poetry: $(tail -n 5 poetry/lock.log)"
grep -q '"six"' poetry/poetry.lock
works poetry "$(installed poetry)"
diagnose venv/bin/python 'py-*' boto3
diagnose venv/bin/aws awscli
diagnose venv/bin/pip pip
for tool in uv pipx poetry; do diagnose venv/bin/$tool $tool; done
