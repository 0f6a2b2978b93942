# go downloads a module and checks it against the checksum database
# needs: go
cat >go.mod <<'END'
module probe

go 1.21

require github.com/google/uuid v1.6.0
END
export GOMODCACHE=$PWD/modules
behind go mod download -modcacherw github.com/google/uuid@v1.6.0
[[ -s modules/github.com/google/uuid@v1.6.0/uuid.go ]] || fail "the module is not there"
