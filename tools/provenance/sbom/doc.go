// Package sbom lists what is in an image: CycloneDX 1.6 (ECMA-424) in JSON, from the image's own bytes and nothing else.
//
// Files come from the layers, with their SHA-256. Modules come from what the Go linker left in each program (debug/buildinfo), so that what is
// listed is what was linked. The same image gives the same bytes: the time is the caller's, and the serial number is made from the
// document itself (RFC 9562, section 5.8).
package sbom
