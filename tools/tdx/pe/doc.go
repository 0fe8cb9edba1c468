// Package pe computes the digests that firmware logs for PE/COFF images: kernels, unified kernel images (UKI) and boot loaders.
//
// The Authenticode digest is computed as edk2 does it (OvmfPkg/Tcg/TdTcg2Dxe/MeasureBootPeCoff.c, after "Windows Authenticode
// Portable Executable Signature Format" 1.0), which differs from signing tools where the file length is not a multiple of 8 or data
// trails the sections: nothing is padded, and trailing data is hashed with or without a certificate table.
//
// QEMU up to 10.1 writes boot parameters into the header of a kernel before firmware reads it, see [Patch]; the digest of a
// patched image is computed without copying it. The firmware of dstack's newer images writes there too, see [NormalizedPatches].
//
// All integers in images are little-endian, all offsets and sizes are in bytes. Images are untrusted; memory use does not depend
// on what they say. Errors wrap [ErrFormat].
package pe
