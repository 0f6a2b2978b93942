# Maven downloads an artifact and what it depends on
# needs: mvn java
behind mvn -B dependency:get -Dartifact=junit:junit:4.13.2 -Dmaven.repo.local="$PWD/repository"
[[ -s repository/junit/junit/4.13.2/junit-4.13.2.jar ]] || fail "the artifact is not there"
[[ -s repository/org/hamcrest/hamcrest-core/1.3/hamcrest-core-1.3.jar ]] || fail "its dependency is not there"
works maven "$(mvn --version | sed -n 's/.*Apache Maven \([0-9.]*\).*/\1/p')"
diagnose mvn maven
