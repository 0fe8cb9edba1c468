// Package tdvf reads TDX virtual firmware (TDVF): OVMF and IntelTdx images of edk2, as QEMU loads them with -bios.
//
// From the bytes of the image alone it computes MRTD, the TD HOB list that the firmware measures first into RTMR0, the digest of
// the configuration volume (CFV) and the secure boot variables inside it. It also unpacks the compressed firmware volumes to
// find out how this build measures: which events it logs, in which order, and which boot options it registers; see [Profile].
//
// Sources: Intel TDX Virtual Firmware Design Guide (344991-004) sections 11 and 12 for the metadata, Intel TDX Module Base
// Architecture Specification section 12 for MRTD, UEFI Platform Initialization 1.8 volume 3 for firmware volumes, and edk2 at
// the places named in the code. All integers in the image are little-endian.
//
// Images are untrusted: every offset is checked, at most [MaxImageSize] bytes are read and at most 32 MiB are unpacked.
package tdvf
