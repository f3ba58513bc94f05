#!/bin/sh
# From a fresh Debian or Ubuntu to a running Bellwether: installs what a build needs, builds, and
# starts `bellwether up` with the flags given here. Safe to run again; needs no root if all is there.
set -eu

usage() {
    cat <<'END'
usage: sh deploy/quickstart.sh [FLAGS OF `bellwether up`]
       sh deploy/quickstart.sh --demo       show a fault and its page within a minute, then stop
       sh deploy/quickstart.sh --prepare    install what a build needs, then stop
       sh deploy/quickstart.sh --help       this text

Installs a C compiler and Rust where they are missing (Debian and Ubuntu), builds the release
binaries of bellwether and bellwether-agent, and starts `bellwether up`: the collector, its store
and the agent of this host, without a configuration file. Flags are passed on, for example:

  sh deploy/quickstart.sh --for 20s --data-dir ./state

Exit codes: 2 something is missing and cannot be installed from here (the text says what),
otherwise those of cargo and of `bellwether up`; of the demo 1 if its page did not come.
END
}

say() { printf 'quickstart: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
rust_version=$(sed -n 's/^rust-version = "\([0-9.]*\)"$/\1/p' "$root/Cargo.toml")

# A relative target folder means one below the caller's folder, not below the repository.
case "${CARGO_TARGET_DIR:-/}" in
    /*) ;;
    *) CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR; export CARGO_TARGET_DIR ;;
esac

# at_least HAVE WANT: whether version HAVE is not older than WANT.
at_least() {
    printf '%s %s\n' "$1" "$2" | awk '{
        split($1, have, /[^0-9]+/); split($2, want, /[^0-9]+/)
        for (i = 1; i <= 3; i++) {
            if (have[i] + 0 > want[i] + 0) exit 0
            if (have[i] + 0 < want[i] + 0) exit 1
        }
    }'
}

# Runs a command as root; `can_be_root` says whether that is possible.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}
can_be_root() {
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; }
}

# install_packages PACKAGE…: installs Debian packages, or says who has to.
apt_lists_are_fresh=no
install_packages() {
    command -v apt-get >/dev/null 2>&1 ||
        die "this is not Debian or Ubuntu: please install the like of these packages: $*"
    can_be_root || die "not root: please ask an administrator to run: apt-get install -y $*"
    if [ "$apt_lists_are_fresh" = no ]; then
        say "reading the lists of Debian packages"
        as_root apt-get -q -o DPkg::Lock::Timeout=120 update >&2 ||
            say "the lists could not all be read; trying with those that are here"
        apt_lists_are_fresh=yes
    fi
    say "installing Debian packages: $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 \
        install -y --no-install-recommends "$@" >&2 || die "apt-get could not install: $*"
}

compiler_works() {
    echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - >/dev/null 2>&1
}

# The version of the cargo in PATH, or nothing.
cargo_version() {
    (cd "$root" && cargo --version 2>/dev/null) | sed -n 's/^cargo \([0-9.]*\).*/\1/p'
}
rust_is_new_enough() {
    have=$(cargo_version)
    [ -n "$have" ] && at_least "$have" "$rust_version"
}

rust_from_rustup() {
    if command -v rustup >/dev/null 2>&1; then
        say "installing stable Rust with the rustup that is here"
        rustup toolchain install stable --profile minimal --no-self-update || return 1
        RUSTUP_TOOLCHAIN=stable
        export RUSTUP_TOOLCHAIN
        return 0
    fi
    say "downloading rustup, Rust's installer"
    installer=$(mktemp)
    if curl --proto '=https' --tlsv1.2 -fsSL --retry 2 --connect-timeout 20 \
        https://sh.rustup.rs -o "$installer"; then
        say "installing stable Rust into ${CARGO_HOME:-$HOME/.cargo}"
        sh "$installer" -y --profile minimal --default-toolchain stable --no-modify-path >&2
        status=$?
    else
        status=1
    fi
    rm -f "$installer"
    return "$status"
}

# Debian numbers its cargo package in its own way; rustc carries the version that counts.
rust_from_debian() {
    command -v apt-cache >/dev/null 2>&1 || return 1
    candidate=$(apt-cache policy rustc | sed -n 's/^ *Candidate: \([0-9.]*\).*/\1/p')
    [ -n "$candidate" ] && at_least "$candidate" "$rust_version" || return 1
    install_packages cargo rustc
}

# The Debian packages that are missing, so that an administrator is asked once.
missing_packages() {
    compiler_works || echo build-essential
    # Only crates that say so build with cmake.
    if grep -q '^name = "cmake"$' "$root/Cargo.lock" && ! command -v cmake >/dev/null 2>&1; then
        echo cmake
    fi
    if ! rust_is_new_enough && ! command -v rustup >/dev/null 2>&1; then
        command -v curl >/dev/null 2>&1 || echo curl
        [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    fi
}

prepare() {
    # Where rustup puts cargo, in case this shell was started before.
    PATH=$PATH:${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin
    export PATH
    packages=$(missing_packages | tr '\n' ' ')
    # shellcheck disable=SC2086 # a list of words
    [ -z "$packages" ] || install_packages $packages
    compiler_works || die "cc is installed but cannot build a program: try 'cc -v'"
    rust_is_new_enough || prepare_rust
}

# What an administrator can do where neither can be had.
no_rust() {
    cat >&2 <<END
quickstart: no Rust $rust_version or newer can be had: rustup's download failed, and Debian's own is
${candidate:-missing}. One of these helps:
  - let this machine reach rustup's servers and cargo's registry, or name a proxy:
    HTTPS_PROXY=http://HOST:PORT sh deploy/quickstart.sh
  - name a mirror of rustup: RUSTUP_DIST_SERVER=https://… RUSTUP_UPDATE_ROOT=https://…/rustup
  - install Rust $rust_version or newer by other means, so that \`cargo --version\` says so, then run
    this again
  - on another machine of the same processor and a Debian no newer than this one:
    cargo build --release --locked --bins
    and copy bellwether and bellwether-agent from target/release there to one folder here; then
    ./bellwether up
END
    exit 2
}

prepare_rust() {
    have=$(cargo_version)
    if [ -n "$have" ]; then
        say "Rust $have is here; $rust_version or newer is needed"
    else
        say "Rust is missing"
    fi
    if rust_from_rustup; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    else
        say "rustup could not install Rust; looking at Debian's own"
        rust_from_debian ||
            no_rust
    fi
    rust_is_new_enough || die "cargo is still missing or older than $rust_version; see the lines above"
}

case "${1:-}" in
    --help | -h) usage; exit 0 ;;
esac
[ -n "$rust_version" ] || die "no rust-version in $root/Cargo.toml: is this a whole clone?"
say "checking the compiler and Rust"
prepare
[ "${1:-}" != --prepare ] || exit 0

say "building the release binaries with cargo $(cargo_version); the first time takes minutes"
(cd "$root" && cargo build --release --locked --bins -p bellwether-collector -p bellwether-agent)
target=$(cd "$root" && cargo metadata --no-deps --offline --format-version 1 |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
say "starting $target/release/bellwether up $*"
exec "$target/release/bellwether" up "$@"
