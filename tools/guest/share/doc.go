// Package share reads what the host gives the guest: a handful of small files in one folder, from a 9p file system or a FAT disk
// (Dstack-TEE/dstack, dstack/dstack-types/src/shared_filenames.rs, dstack/dstack-util/src/host_api.rs, system_setup.rs copy_host_shared).
//
// The host is not trusted, so every file is opened by its own name in the folder and nothing else, without following links; it has to be
// a regular file; and no more of it is read than its limit. Names that are not known are not looked at. What was read is in memory
// afterwards, once, and the share is unmounted: the host can not change what was measured.
package share
