// Package dstack holds the formats of dstack, the system that runs boardroom's confidential VMs: what an app-compose.json
// says and hashes to, who an application is, what its guest extends into RTMR3, what an OS image is called, and the values
// that dstack's KMS derives from them. Everything here is a function of bytes: no sockets, no files, no clock. The client of
// the guest agent is package guestagent, below this one.
//
// Where dstack hashes a file, the hash is over the bytes as given ([ComposeHashOf], [ImageHashOf], [ConfigIDV3]); nothing is
// re-encoded on the way. What dstack re-encodes is written here in the one form in which all its tools agree ([Normalize]).
//
// Sources, at Dstack-TEE/dstack commit 312dc605 (0.6.0) and the tags v0.5.2 to v0.5.11, where the folder dstack/ is the root:
//
//	app-compose.json       dstack/dstack-types/src/lib.rs AppCompose; dstack/dstack-util/src/system_setup.rs
//	normal form            docs/normalized-app-compose.md; RFC 8785 where dstack says JCS
//	mr_config_id           dstack/dstack-types/src/mr_config.rs; dstack/dstack-util/src/system_setup/config_id_verifier.rs
//	runtime events         dstack/cc-eventlog/src/runtime_events.rs; system_setup.rs measure_app_info, verify_app, setup_fs
//	derived identities     dstack/dstack-attest/src/attestation.rs decode_mr_tdx_from_quote; dstack/kms/src
//	sha256sum.txt          os/image; dstack-types/src/lib.rs sha256sum_entry_hash
//	measurement.tdx.cbor   dstack-types/src/lib.rs CborTdxOsImageMeasurement; dstack/dstack-mr/src/tdvf.rs td_hob_witness_v1
//
// A value that a parser of this package returned is well formed. It is not thereby true: an event log proves something only
// once its replay equals the RTMR3 of a verified quote, and vm_config comes from the host.
package dstack
