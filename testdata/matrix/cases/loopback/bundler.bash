# gem and Bundler install from an index whose gems come through RubyGems, behind settings of the user's that lead elsewhere
# needs: ruby gem bundle
start_origin
mkdir -p "$ORIGIN_FILES/gems" gem/lib
echo 'module Greeting; TEXT = "hello"; end' >gem/lib/greeting.rb
cat >gem/greeting.gemspec <<'END'
Gem::Specification.new do |s|
  s.name, s.version, s.summary, s.authors, s.files = "greeting", "1.0", "Says hello", ["matrix"], ["lib/greeting.rb"]
end
END
(cd gem && gem build -q greeting.gemspec -o "$ORIGIN_FILES/gems/greeting-1.0.gem" 2>/dev/null)
gem generate_index -q -d "$ORIGIN_FILES" >/dev/null

export GEM_HOME=$PWD/installed
cat >"$HOME/.gemrc" <<'END'
:http_proxy: http://127.0.0.1:9
http_proxy: http://127.0.0.1:9
:ssl_verify_mode: 0
gem: --no-document
END
behind gem install -q --clear-sources --source https://git.test/files/ greeting
works gem-install "$(gem --version)"
prints hello ruby -I installed/gems/greeting-1.0/lib -r greeting -e 'puts Greeting::TEXT'
rm -r installed

cat >Gemfile <<'END'
source "https://git.test/files/"
gem "greeting"
END
behind bundle install --quiet
works bundler "$(bundle --version | grep -oE '[0-9.]+$')"
prints hello bundle exec ruby -r greeting -e 'puts Greeting::TEXT'

# Net::HTTP, which reads no https_proxy, in a command of Bundler's.
version=$(ruby -e 'print RUBY_VERSION')
client ruby-net/http "$version" bundle exec ruby -r net/http -e 'print Net::HTTP.get(URI("https://git.test/echo"))'
client ruby-open-uri "$version" ruby -r open-uri -e 'print URI("https://git.test/echo").read'
diagnose gem gem-install
diagnose bundle bundler
diagnose ruby 'ruby-*'
