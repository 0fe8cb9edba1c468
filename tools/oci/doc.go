// Package oci makes OCI images whose bytes are a function of their content, and carries them between directories and
// registries.
//
// The types are those of go-containerregistry; what this package adds is that nothing of the machine enters: a layer is a
// sorted tar in one format with one time, compressed by package deflate, whose bytes do not change with the Go release.
// Layouts are written whole or not at all and read only after every blob was compared with its digest.
//
// Formats: OCI image-spec 1.1 (config.md, layer.md, manifest.md, image-layout.md).
package oci
