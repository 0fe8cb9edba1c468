// Package image reads guest images as dstack lays them out in a directory: metadata.json, and the firmware, kernel and initrd that
// it names (contracts/dstack.md section 1).
//
// As in dstack, members of metadata.json that are not known are passed over, because each release adds some. What is known has to
// be well-formed: a name must be that of a file in the directory, a member must not be there twice. Nothing is measured here, and
// sizes are bounded before anything is read.
package image
