#!/bin/sh
# Readies a machine for `nix build`: installs the Debian packages named as arguments where they are missing, and puts the
# seed into the Nix store where it is not. Quiet when there is nothing to do. Run from the root of the source tree.
set -eu

say() { printf '%s\n' "$*" >&2; }
die() { say "setup: $*"; exit 1; }

missing=
for package in "$@"; do
	case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
	installed) ;;
	*)
		# Nix may have come by another way than Debian's package.
		if [ "$package" != nix-bin ] || ! command -v nix >/dev/null; then missing="$missing $package"; fi
		;;
	esac
done
if [ -n "$missing" ]; then
	command -v apt-get >/dev/null || die "missing:$missing; install them, this machine has no apt-get to do it with"
	[ "$(id -u)" = 0 ] || die "missing:$missing; run as root, or install them with: apt-get install$missing"
	say "installing Debian packages:$missing"
	log=$(mktemp)
	{
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing
	} >"$log" 2>&1 </dev/null || { cat "$log" >&2; die "apt-get could not install$missing; its messages are above"; }
	rm -f "$log"
fi

case $(nix --version) in
*' '[01].* | *' '2.[0-7] | *' '2.[0-7].*) die "expected nix 2.8 or newer, got $(nix --version)" ;;
esac

seed=$(nix eval --raw .#seed.outPath)
nix-store --check-validity "$seed" 2>/dev/null && exit 0
# Without Go, Nix itself fetches the published tarball.
command -v go >/dev/null || exit 0
say "putting the Go toolchain that everything is built with into the Nix store"
tree=$(go run ./tools/cmd/seed obtain nix/seed.json "${BOARDROOM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/boardroom}")
added=$(nix-store --add-fixed --recursive sha256 "$tree")
[ "$added" = "$seed" ] || die "the toolchain went to $added, expected $seed"
