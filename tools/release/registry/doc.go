// Package registry carries releases to OCI registries and back (image-spec and distribution-spec 1.1).
//
// A release is one artifact in the repository PREFIX/NAME-release: a manifest with release.json and every file that it lists as layers,
// which is a function of release.json alone. Whoever has the digest of one can therefore compute the other, and what comes back from a
// registry is compared with what has to be there, byte for byte. What vouches for a release comes later and does not change it: each
// signature, link and proof is an artifact of its own that refers to the manifest (image-spec, manifest.md, "subject"), and so is the
// archive of each guest image.
//
// Images are pushed to their own repositories. Statements about them refer to their manifests in the form that cosign has for
// Sigstore bundles, so that its program finds them there.
//
// Registries that do not list what refers to a manifest have a tag for the list instead (distribution-spec, "Referrers Tag Schema").
// Everything is pushed before what refers to it, and tags come last: a push that was killed has changed nothing that anybody reads, and
// is finished by the next one.
package registry
