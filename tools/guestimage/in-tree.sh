#!/usr/bin/env bash
# Runs a command with a folder of unpacked packages as the root of the file system, and another folder at its own place in it:
#
#	in-tree.sh TREE FOLDER COMMAND…
set -euo pipefail
exec unshare --mount bash -euc '
	tree=$1 here=$2
	shift 2
	mkdir -p "$tree"/{proc,dev,sys,tmp,root,machine}
	# A process in a chroot may not make the user namespaces that builds take (user_namespaces(7)), so the tree becomes the root of
	# the mount namespace, which takes it being a mount.
	mount --bind "$tree" "$tree"
	mkdir -p "$tree$here"
	for folder in proc dev sys; do mount --rbind "/$folder" "$tree/$folder"; done
	mount --bind "$here" "$tree$here"
	cp /etc/resolv.conf /etc/hosts /etc/passwd /etc/group "$tree/etc/"
	cd "$tree"
	pivot_root . machine
	cd "$here"
	umount --lazy /machine
	PATH=/usr/sbin:/usr/bin HOME=/root exec "$@"
' in-tree "$@"
