# Maven 3.9 and 4, which read no proxy properties unless they are told to, download an artifact; no JVM says a word
# needs: mvn java
for version in 3.9.11 4.0.0-rc-4; do
	mvn -B -q dependency:get -Dartifact=org.apache.maven:apache-maven:$version:zip:bin -Dtransitive=false -Dmaven.repo.local="$PWD/repository"
	python3 -m zipfile -e repository/org/apache/maven/apache-maven/$version/apache-maven-$version-bin.zip .
	behind env NO_PROXY=corp.test,other.test sh apache-maven-$version/bin/mvn -B -q dependency:copy -Dartifact=junit:junit:4.13.2 \
		-DoutputDirectory="$PWD/$version" -Dmaven.repo.local="$PWD/repository-$version" 2>err
	[[ -s $version/junit-4.13.2.jar ]] || fail "the artifact is not there"
	works maven $version
	if grep "Picked up" err; then fail "the JVM prints its options"; fi
done
