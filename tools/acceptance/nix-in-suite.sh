#!/usr/bin/env bash
# Runs a command with the nix of another Debian suite, on this machine's store: unpacks nix-bin and all it needs into a folder,
# without installing anything or running a maintainer script, and calls the command there.
#
#	nix-in-suite.sh SUITE FOLDER COMMAND…
set -euo pipefail
suite=$1 root=$2
shift 2
here=$PWD
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | head -n 1)
: "${mirror:?no Debian mirror is set up for apt}"
if [ ! -e "$root/ready" ]; then
	rm -rf "$root"
	mkdir -p "$root"/apt/{lists/partial,cache/archives/partial,state} "$root/tree"
	touch "$root/apt/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$root/apt/sources.list"
	apt=(apt-get -qq -o "Dir::Etc::sourcelist=$root/apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State=$root/apt/state"
		-o "Dir::State::lists=$root/apt/lists" -o "Dir::State::status=$root/apt/status" -o "Dir::Cache=$root/apt/cache" -o Debug::NoLocking=1
		-o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false)
	# A mirror can be behind a suite's Valid-Until; the signature is checked all the same.
	"${apt[@]}" update >&2
	"${apt[@]}" install -y --no-install-recommends --download-only nix-bin git ca-certificates >&2
	# Unpacked packages bring lib and usr/lib; merged-/usr links make them one.
	mkdir -p "$root"/tree/usr/{bin,sbin,lib,lib64}
	for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$root/tree/$folder"; done
	for deb in "$root"/apt/cache/archives/*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root/tree" --keep-directory-symlink; done
	touch "$root/ready"
fi
exec unshare --mount bash -euc '
	tree=$1 here=$2
	shift 2
	mkdir -p "$tree"/{proc,dev,tmp,nix,root,etc/ssl}
	# A process in a chroot may not make the user namespaces that newer versions of Nix sandbox with (user_namespaces(7)), so
	# the tree becomes the root of the mount namespace, which takes it being a mount.
	mount --bind "$tree" "$tree"
	mount -t tmpfs tmpfs "$tree/tmp"
	mkdir -p "$tree$here"
	mount --rbind /proc "$tree/proc"
	mount --rbind /dev "$tree/dev"
	mount --bind /nix "$tree/nix"
	mount --bind "$here" "$tree$here"
	cp /etc/resolv.conf /etc/hosts "$tree/etc/"
	cp /etc/passwd /etc/group "$tree/etc/"
	mkdir -p "$tree/machine"
	cd "$tree"
	pivot_root . machine
	cd "$here"
	exec "$@"
' nix-in-suite "$root/tree" "$here" "$@"
