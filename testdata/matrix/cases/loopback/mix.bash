# Mix installs an archive
# needs: mix openssl
start_origin
export MIX_HOME=$PWD/mix-home
mkdir greeting
cat >greeting/mix.exs <<'END'
defmodule Greeting.MixProject do
  use Mix.Project
  def project, do: [app: :greeting, version: "1.0.0"]
end
END
(cd greeting && mix archive.build -o "$ORIGIN_FILES/greeting-1.0.0.ez" >/dev/null)
sum=$(openssl dgst -sha512 -r "$ORIGIN_FILES/greeting-1.0.0.ez")
behind mix archive.install --force --sha512 "${sum%% *}" https://git.test/files/greeting-1.0.0.ez
[[ -e $MIX_HOME/archives/greeting-1.0.0 ]] || fail "the archive is not there"
works mix-archive.install "$(mix --version | sed -n 's/^Mix \([0-9.]*\).*/\1/p')"
diagnose mix mix-archive.install
