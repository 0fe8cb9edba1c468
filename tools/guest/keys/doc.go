// Package keys holds the application's keys and derives further ones from them, as Dstack-TEE/dstack, dstack/ra-tls/src/kdf.rs and
// dstack/dstack-util/src/system_setup.rs do for a guest that has no KMS: everything follows from one random seed, which lives as long as
// the guest does.
package keys
