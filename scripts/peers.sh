#!/usr/bin/env bash
# Puts the programs that others wrote, and that samebits is tested against, into .cache/peers: Debian packages are unpacked
# there (nothing is installed, no service starts), Go modules are built there, Python's tools get an environment there. Every
# version is pinned; what is there is kept.
#
# Usage: scripts/peers.sh [--if-possible]     without apt or Go: exit 1, or with --if-possible a remark and exit 0
set -euo pipefail

if_possible=
case "${1-}" in
'') ;;
--if-possible) if_possible=yes ;;
*) sed -n 's/^# \(Usage:\)/\1/p' "$0" >&2 && exit 2 ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
peers=$root/.cache/peers
mkdir -p "$peers/bin" "$peers/debian" "$peers/log" "$peers/stamp"
failed=

# once NAME VERSION COMMAND…: run the command unless this version is there already; one line either way.
once() {
    local name=$1 version=$2 stamp log began=$SECONDS
    shift 2
    stamp=$peers/stamp/$name@${version//[^A-Za-z0-9._+-]/_} log=$peers/log/$name.log
    if [ -e "$stamp" ]; then
        echo "$name $version: there"
    elif "$@" >"$log" 2>&1; then
        rm -f "$peers/stamp/$name@"*
        touch "$stamp"
        echo "$name $version: made in $((SECONDS - began)) s"
    else
        failed="$failed $name"
        echo "$name $version: FAILED, see $log" >&2
        tail -n 3 "$log" | sed 's/^/    /' >&2
    fi
}

# without PROGRAM PEERS: say what can't be had on this machine.
without() {
    echo "no $1 on this machine: can't have $2" >&2
    [ -n "$if_possible" ] || failed="$failed $2"
}

fetch() { apt-get -q -o APT::Sandbox::User=root download "$@"; }

# debian PACKAGE=VERSION…: unpack these packages; the package lists are fetched when missing or stale (that needs root).
# Run through `once` as a condition, where `set -e` does not hold: every step says what happens when it fails.
debian() (
    download=$(mktemp -d) && trap 'rm -rf "$download"' EXIT && cd "$download" || return
    fetch "$@" || { apt-get -q update && fetch "$@"; } || return
    for package in *.deb; do
        dpkg-deb -x "$package" "$peers/debian" || return
    done
)

# programs "PROGRAM…" PACKAGE=VERSION…: programs with the libraries that a small system lacks; the loader must find every other one.
programs() {
    local program wanted=$1
    shift
    debian "$@" || return
    local libraries
    libraries=$(find "$peers/debian" -type d -path '*/lib/*-linux-gnu' | paste -sd :)
    for program in $wanted; do
        ! LD_LIBRARY_PATH=$libraries ldd "$peers/debian/usr/$program" | grep 'not found' || return
    done
}

go_install() { (cd "$peers" && GOWORK=off GOBIN=${2:-$peers/bin} go install -buildvcs=false "$1"); }

# go_install_as NAME MODULE@VERSION: under a name of our own, where the module's says too little.
go_install_as() (
    made=$(mktemp -d) && trap 'rm -rf "$made"' EXIT || return
    go_install "$2" "$made" && mv "$made"/* "$peers/bin/$1"
)

# sources FOLDER: a few digits that change with the source of a program of our own.
sources() { cat "$1"/{main.go,go.mod,go.sum} | sha256sum | cut -c1-12; }

go_build() { (cd "$1" && GOWORK=off go build -buildvcs=false -o "$peers/bin/" .); }

# go_build_pinned FOLDER PACKAGE: somebody else's program, at the versions and hashes that the folder's go.mod and go.sum name.
go_build_pinned() { (cd "$1" && GOWORK=off GOFLAGS=-mod=readonly go build -buildvcs=false -o "$peers/bin/" "$2"); }

# npm_packages FOLDER NAME@VERSION=INTEGRITY…: exactly these packages, none of their scripts is run, and every hash must be that of
# the tarball that came. No lock file: it would name the host that the packages came from.
npm_packages() (
    local folder=$1 package names=()
    shift
    rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || return
    for package in "$@"; do names+=("${package%%=*}"); done
    npm install --no-save --no-package-lock --ignore-scripts --no-audit --no-fund "${names[@]}" || return
    [ "$(grep -c '"integrity"' node_modules/.package-lock.json)" = "$#" ] || return
    for package in "$@"; do grep -qF "\"integrity\": \"${package#*=}\"" node_modules/.package-lock.json || return; done
)

# python_tools FOLDER REQUIREMENTS PROGRAM…: an environment of their own, every file by its hash, and these programs of it.
python_tools() {
    local folder=$1 requirements=$2 program
    shift 2
    python3 -m venv --clear "$folder" || return
    "$folder/bin/python" -m pip install --quiet --no-deps --require-hashes -r "$requirements" || return
    for program in "$@"; do ln -sf "$folder/bin/$program" "$peers/bin/$program" || return; done
}

if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    once docker-registry 2.8.2 debian 'docker-registry=2.8.2*'
    once dockerd 20.10 programs 'sbin/dockerd sbin/runc' 'docker.io=20.10.*' 'containerd=1.6.*' 'runc=1.1.*' libdevmapper1.02.1 libseccomp2
    once skopeo 1.9.3 programs bin/skopeo 'skopeo=1.9.3*' libdevmapper1.02.1 libgpgme11 libassuan0
    once clamd 1.4 programs sbin/clamd 'clamav-daemon=1.4.*' 'libclamav12=1.4.*' libmspack0
    once softhsm2 2.6.1 programs bin/softhsm2-util 'softhsm2=2.6.1*' 'libsofthsm2=2.6.1*'
else
    without apt 'docker-registry dockerd skopeo clamd softhsm2'
fi

if command -v go >/dev/null; then
    registry=$root/tests/ggcr-registry authority=$root/scripts/private_sigstore/timestamp-server
    once crane v0.22.1 go_install github.com/google/go-containerregistry/cmd/crane@v0.22.1
    once oras v1.3.6 go_install oras.land/oras/cmd/oras@v1.3.6
    once regctl v0.11.7 go_install github.com/regclient/regclient/cmd/regctl@v0.11.7
    once ggcr-registry "v0.22.1-$(sources "$registry")" go_build "$registry"
    once distribution-registry v3.1.2 go_install_as distribution-registry github.com/distribution/distribution/v3/cmd/registry@v3.1.2
    once cosign v3.1.3 go_install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
    conformance=v0.0.0-20260831232431-97274622c111
    once oci-conformance "$conformance" go_install_as oci-conformance "github.com/opencontainers/distribution-spec/conformance@$conformance"
    # built from a module of our own: `go install` asks for the list of its versions, which not every proxy has
    once slsa-verifier v2.7.1 go_build_pinned "$root/tests/slsa-verifier" github.com/slsa-framework/slsa-verifier/v2/cli/slsa-verifier
    once syft v1.57.0 go_install github.com/anchore/syft/cmd/syft@v1.57.0
    # later releases of rekor-tiles and timestamp-authority want a later Go
    once fulcio v1.8.8 go_install github.com/sigstore/fulcio@v1.8.8
    once rekor-server v2.3.0 go_install_as rekor-server github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix@v2.3.0
    once timestamp-server "v2.1.3-$(sources "$authority")" go_build "$authority"
    once grype v0.121.2 go_install github.com/anchore/grype/cmd/grype@v0.121.2
    # later releases of osv-scanner want a later Go
    once osv-scanner v2.5.0 go_install github.com/google/osv-scanner/v2/cmd/osv-scanner@v2.5.0
else
    without Go 'crane oras regctl ggcr-registry distribution-registry cosign oci-conformance slsa-verifier syft fulcio rekor-server timestamp-server grype osv-scanner'
fi

if command -v node >/dev/null && command -v npm >/dev/null; then
    once sigstore-verify 4.1.3 npm_packages "$peers/npm" \
        @sigstore/verify@4.1.3=sha512-V2ik+fLz2YTZOV4USVnjvLJWDjmBMWi7XhFR8CNp1tj7y09OrogDxPZZdbSWXIA7IpenJTyGukIgF2CFtH/8rA== \
        @sigstore/bundle@5.0.1=sha512-7q8DOObFzN+/eQrvL2O0cylDp95ssgBCAomQxSYfGAMO9+q4xceRbg0L3L0G2/8NyideoYCs7HuVxWKCdn/maQ== \
        @sigstore/core@4.0.1=sha512-9v5hRjujn5NXq8o7XFEUgLyAtdr5Iisb4pzM05u3K61IS5q3hP3luWAndk0RkPPLTUFoTbg7Vb84UQ1ZQeajWQ== \
        @sigstore/protobuf-specs@0.5.2=sha512-SQqvFMt4V78fdjcDdYX6HbiVSOR4QK3ZgwCa2KOsopAgPIHy1rU5UDUmzLl02r5oyyaYcYHR1hpwDRk/yUe+Mw==
else
    without Node.js sigstore-verify
fi

tools=$root/requirements/peers.txt
once scanners "$(sha256sum "$tools" | cut -c1-12)" python_tools "$peers/scanners" "$tools" bandit semgrep pysemgrep pip-audit

if [ -n "$failed" ]; then
    echo "error: missing:$failed" >&2
    exit 1
fi
