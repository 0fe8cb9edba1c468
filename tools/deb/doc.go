// Package deb locks sets of Debian packages and reads them as one file tree, without installing anything.
//
// Three documents follow one another. A [Set] is written by people: which packages of which suites, and what is left out. A
// [Lock] is written once, from indices that the archive's OpenPGP key vouches for, and names each package by version, size and
// SHA-256; it names no mirror, because it does not matter where bytes come from. A [Tree] is what the locked packages hold: the
// same for everybody who has the lock. Maintainer scripts are never run, and diversions and alternatives do not exist.
//
// Formats: versions, relations and control fields as in Debian Policy 4.7 sections 5 and 7; packages as in deb(5) of dpkg 1.22;
// archive indices as on the Debian wiki's page DebianRepository/Format; clear signatures as in RFC 9580 section 7. What Debian's
// own tools never write (long ar names, PAX headers, sparse files, devices) is refused, not interpreted.
//
// The package talks to nobody; package mirror does.
package deb
