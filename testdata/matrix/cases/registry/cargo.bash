# cargo fetches a crate
# needs: cargo
mkdir src
: >src/lib.rs
cat >Cargo.toml <<'END'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"

[dependencies]
itoa = "1"
END
behind cargo fetch
compgen -G "$HOME/.cargo/registry/cache/*/itoa-1.*.crate" || fail "the crate is not there"
