# Maven 3.9 and 4, which read no proxy properties unless they are told to, download an artifact; no JVM says a word
# needs: mvn java
# Each downloads another artifact into one repository: what they have in common is downloaded once.
declare -A junit=([3.9.11]=4.13.2 [4.0.0-rc-4]=4.13.1)
for version in "${!junit[@]}"; do
	maven=apache-maven-$version artifact=${junit[$version]}
	mvn -B -q dependency:get -Dartifact="org.apache.maven:apache-maven:$version:zip:bin" -Dtransitive=false -Dmaven.repo.local="$PWD/repository"
	python3 -m zipfile -e "repository/org/apache/maven/apache-maven/$version/$maven-bin.zip" .
	behind env NO_PROXY=corp.test,other.test sh "$maven/bin/mvn" -B -q dependency:get -Dartifact="junit:junit:$artifact" \
		-Dmaven.repo.local="$PWD/repository" 2>err
	[[ -s repository/junit/junit/$artifact/junit-$artifact.jar ]] || fail "the artifact is not there"
	works maven "$version"
	chmod +x "$maven/bin/mvn"
	diagnose "$maven/bin/mvn" maven
	if grep "Picked up" err; then fail "the JVM prints its options"; fi
done
