# apt updates from the machine's Debian mirror over https, also from within a script
# needs: apt-get
# shellcheck disable=SC2016 # apt's own placeholder
site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep debian | head -n 1)
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
mkdir -p lists/partial cache/archives/partial
echo "deb https://${site#*://} $release-updates main" >sources.list
update=(apt-get -q -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$PWD/lists"
	-o Dir::Cache="$PWD/cache" -o APT::Update::Error-Mode=any update)
behind "${update[@]}"
packages=(lists/*_Packages*)
[[ -s ${packages[0]} ]] || fail "no list of packages"
works apt-https "$(apt-get --version | sed -n '1s/^apt \([0-9.]*\).*/\1/p')"
rm -r lists
mkdir -p lists/partial
echo "${update[*]}" >script
behind sh script
packages=(lists/*_Packages*)
[[ -s ${packages[0]} ]] || fail "no list of packages, within a script"
diagnose apt-get apt-https
